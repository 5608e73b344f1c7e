internal import ApusBroker

/// Lets the writer have a moment without readers of its own, so that a checkpoint completes and the write-ahead log
/// starts anew. Readers pass it once a page, so they are only ever held up between pages.
final class ReaderGate: Sendable {
    private struct State {
        var inside = 0
        var isClosed = false
    }

    private let state = ConditionLockedState(State())

    /// Waits while the gate is closed.
    func pass<T, Failure: Error>(_ body: () throws(Failure) -> T) throws(Failure) -> T {
        state.wait(until: { !$0.isClosed }, then: { $0.inside += 1 })
        defer { state.change { $0.inside -= 1 } }
        return try body()
    }

    /// Closes the gate, waits for who is inside, and opens it again after `body`.
    ///
    /// - Returns: nil without having run `body` if a reader did not come out in time: it goes on undisturbed.
    func closed<T, Failure: Error>(
        waitingAtMostMilliseconds limit: Int, _ body: () throws(Failure) -> T
    ) throws(Failure) -> T? {
        state.change { $0.isClosed = true }
        defer { state.change { $0.isClosed = false } }
        let isEmpty: Void? = state.wait(
            until: { $0.inside == 0 }, atMostMicroseconds: Int64(limit) * 1_000, then: { _ in })
        guard isEmpty != nil else { return nil }
        return try body()
    }
}
