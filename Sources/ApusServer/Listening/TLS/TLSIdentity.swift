internal import ApusModel
internal import Logging
internal import NIOConcurrencyHelpers
internal import NIOSSL

/// The certificates with which a listener meets new connections: exchanged as a whole, while those that are open go on
/// with what they began with.
final class TLSIdentity: Sendable {
    private struct State: Sendable {
        var material: TLSConfigurationFiles.Material
        var context: NIOSSLContext
    }

    private let files: TLSConfigurationFiles
    private let logger: Logger
    private let state: NIOLockedValueBox<State>

    /// Reads the files. Blocks on the disk.
    ///
    /// - Throws: `tls-failed` and `usage`, see ``TLSConfigurationFiles/test()``.
    init(_ files: TLSConfigurationFiles, _ logger: Logger) throws(ApusError) {
        self.files = files
        self.logger = logger
        let material = try files.load()
        state = NIOLockedValueBox(State(material: material, context: try files.context(material)))
        warn(of: material)
    }

    var context: NIOSSLContext { state.withLockedValue { $0.context } }

    /// When the first of the chain runs out, in seconds since 1970.
    var notAfter: Int { state.withLockedValue { $0.material.chain.map(\.notValidAfter).min() ?? 0 } }

    /// Reads the files again. Blocks on the disk.
    ///
    /// - Returns: makes what they hold that of new connections; nil where it is what it was.
    /// - Throws: `tls-failed` and `usage`, see ``TLSConfigurationFiles/test()``.
    func reread() throws(ApusError) -> (@Sendable () -> Void)? {
        let material = try files.load()
        guard !state.withLockedValue({ $0.material }).holdsTheSame(as: material) else { return nil }
        let context = try files.context(material)
        return { [self] in
            state.withLockedValue { $0 = State(material: material, context: context) }
            warn(of: material)
        }
    }

    private func warn(of material: TLSConfigurationFiles.Material) {
        for warning in files.warnings(material) { warning.log(to: logger) }
    }
}
