internal import NIOConcurrencyHelpers
package import NIOCore

/// What is said at most once a minute, with how often it happened meanwhile.
package final class OnceAMinute: Sendable {
    private struct State {
        var next: NIODeadline?
        var count = 0
    }

    private let state = NIOLockedValueBox(State())

    package init() {}

    /// - Returns: how often it has happened since it was said last, this time included; nil where it is not said now.
    package func happened(now: NIODeadline) -> Int? {
        state.withLockedValue { state in
            state.count += 1
            if let next = state.next, now < next { return nil }
            defer { state.count = 0 }
            state.next = now + .minutes(1)
            return state.count
        }
    }
}
