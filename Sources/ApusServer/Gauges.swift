package import ApusBroker
package import ApusModel
internal import NIOConcurrencyHelpers

/// Refusals by code, connections that did not come in, messages that subscriptions do not get, files that were refused.
/// Changed once an event, from any thread.
package final class Gauges: Sendable {
    /// Why a connection did not come in.
    package enum Rejection: String, Sendable, CaseIterable {
        /// By the listener's networks.
        case denied
        /// By a limit.
        case busy
        /// By its handshake.
        case failedTLS = "failed-tls"
    }

    /// A file that is read again while the broker runs, with what it names.
    package enum File: String, Sendable, CaseIterable {
        case configuration, users
    }

    private let rejections = NIOLockedValueBox<[Rejection: Int]>([:])
    private let refusals = NIOLockedValueBox<[ApusError.Code: Int]>([:])
    private let drops = NIOLockedValueBox<[Gap.Reason: Int]>([:])
    private let stale = NIOLockedValueBox<Set<File>>([])

    package init() {}

    package var errors: [ApusError.Code: Int] { refusals.withLockedValue { $0 } }

    package var rejected: [Rejection: Int] { rejections.withLockedValue { $0 } }

    package var dropped: [Gap.Reason: Int] { drops.withLockedValue { $0 } }

    /// Of which the last reading was refused: what was read before is in force.
    package var refusedFiles: Set<File> { stale.withLockedValue { $0 } }

    func connection(_ rejection: Rejection) { rejections.withLockedValue { $0[rejection, default: 0] += 1 } }

    func refused(_ code: ApusError.Code) { refusals.withLockedValue { $0[code, default: 0] += 1 } }

    package func read(_ file: File, isRefused: Bool) {
        stale.withLockedValue { _ = isRefused ? $0.insert(file).memberAfterInsert : $0.remove(file) }
    }

    func dropped(_ reason: Gap.Reason, _ count: Int) { drops.withLockedValue { $0[reason, default: 0] += count } }
}
