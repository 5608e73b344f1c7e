package import ApusModel
internal import NIOConcurrencyHelpers

/// A clock that moves when a test says so.
package final class ManualClock: Sendable {
    private let value: NIOLockedValueBox<Microseconds>

    package init(_ now: Microseconds = 1_700_000_000_000_000) { value = NIOLockedValueBox(now) }

    package var now: Microseconds { value.withLockedValue { $0 } }

    package func advance(seconds: Double) { value.withLockedValue { $0 += Int64(seconds * 1_000_000) } }
}
