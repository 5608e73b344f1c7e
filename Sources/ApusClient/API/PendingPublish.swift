internal import NIOConcurrencyHelpers

/// Messages that were handed over and are not all answered yet; made by ``ApusClient/submit(_:)``.
///
/// It may be let go of: the messages are published nevertheless.
public final class PendingPublish: Sendable {
    private struct State {
        var results: [Result<Receipt, ApusError>]?
        var waiters: [CheckedContinuation<[Result<Receipt, ApusError>], Never>] = []
    }

    /// How many messages it is about.
    public let count: Int
    private let refused: [Int: ApusError]
    private let state = NIOLockedValueBox(State())

    init(count: Int, refused: [Int: ApusError]) {
        self.count = count
        self.refused = refused
    }

    /// Whether ``results()`` would not have to wait.
    public var isAnswered: Bool { state.withLockedValue { $0.results != nil } }

    /// What became of each message, in their order, when all of them are answered.
    ///
    /// Heeds no cancellation, because nothing is taken back by it any more: it ends with the answers, or with the
    /// client. May be called more than once.
    public func results() async -> [Result<Receipt, ApusError>] {
        await withCheckedContinuation { continuation in
            let results = state.withLockedValue { state in
                if state.results == nil { state.waiters.append(continuation) }
                return state.results
            }
            if let results { continuation.resume(returning: results) }
        }
    }

    func complete(_ outcome: PublishOutcome) {
        let results = outcome.results(count: count, refused: refused)
        let waiters = state.withLockedValue { state in
            defer { state.waiters = [] }
            state.results = results
            return state.waiters
        }
        for waiter in waiters { waiter.resume(returning: results) }
    }
}
