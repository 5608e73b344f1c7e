internal import ApusModel
internal import NIOConcurrencyHelpers
internal import NIOSSL

/// The certificates with which a listener meets new connections: exchanged as a whole, while those that are open go on
/// with what they began with.
final class TLSIdentity: Sendable {
    let files: TLSConfigurationFiles
    private let current: NIOLockedValueBox<NIOSSLContext>

    init(_ files: TLSConfigurationFiles, _ context: NIOSSLContext) {
        self.files = files
        current = NIOLockedValueBox(context)
    }

    var context: NIOSSLContext { current.withLockedValue { $0 } }

    func exchange(_ context: NIOSSLContext) { current.withLockedValue { $0 = context } }
}
