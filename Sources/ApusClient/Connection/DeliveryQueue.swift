// Between the event loop and the application.

internal import ApusModel
internal import DequeModule
internal import NIOConcurrencyHelpers

/// What has come for one subscription or query and was not taken yet.
///
/// A read turn's messages come in under one lock, and the application takes all there is under one lock: neither a
/// continuation nor a hop per message. Bounded by ``CreditWindow``. Protected by its lock.
final class DeliveryQueue<Element: Sendable>: Sendable {
    enum Taken {
        case some
        case empty
        /// The error comes once.
        case ended(ApusError?)
    }

    private struct State {
        var elements: Deque<Element> = []
        /// What `elements` costs.
        var count = 0
        var bytes = 0
        /// Taken by the application, and not reported yet.
        var takenCount = 0
        var takenBytes = 0
        var reportEvery = 1
        var isEnded = false
        var error: ApusError?
        var waiters: [(id: UInt64, continuation: CheckedContinuation<Void, Never>)] = []
        var nextWaiter: UInt64 = 0

        mutating func takeWaiters() -> [(id: UInt64, continuation: CheckedContinuation<Void, Never>)] {
            guard !waiters.isEmpty else { return [] }
            defer { waiters = [] }
            return waiters
        }

        /// What was consumed, if it is worth telling; always once half a window or a quarter of the memory is free.
        mutating func report(bytesMax: Int) -> (count: Int, bytes: Int)? {
            guard takenCount > 0, takenCount >= reportEvery || takenBytes >= bytesMax / 4 else { return nil }
            defer {
                takenCount = 0
                takenBytes = 0
            }
            return (takenCount, takenBytes)
        }
    }

    private let state = NIOLockedValueBox(State())
    private let bytesMax: Int
    /// Tells the event loop what was consumed.
    private let consumed: @Sendable (_ count: Int, _ bytes: Int) -> Void

    init(
        bytesMax: Int, reportEvery: Int, consumed: @escaping @Sendable (_ count: Int, _ bytes: Int) -> Void
    ) {
        self.bytesMax = bytesMax
        self.consumed = consumed
        state.withLockedValue { $0.reportEvery = reportEvery }
    }

    // MARK: The event loop's side

    /// Empties `staged`, which keeps room for the next turn.
    func push(_ staged: inout Deque<Element>, count: Int, bytes: Int) {
        let waiters = state.withLockedValue { state in
            guard !state.isEnded else {
                staged.removeAll(keepingCapacity: true)
                return state.takeWaiters()
            }
            if state.elements.isEmpty {
                swap(&state.elements, &staged)
            } else {
                state.elements.append(contentsOf: staged)
                staged.removeAll(keepingCapacity: true)
            }
            state.count += count
            state.bytes += bytes
            return state.takeWaiters()
        }
        for waiter in waiters { waiter.continuation.resume() }
    }

    /// What is in the queue can still be taken; then comes the end.
    func end(_ error: ApusError?) {
        let waiters = state.withLockedValue { state in
            if !state.isEnded {
                state.isEnded = true
                state.error = error
            }
            return state.takeWaiters()
        }
        for waiter in waiters { waiter.continuation.resume() }
    }

    func report(every count: Int) {
        let report = state.withLockedValue { state in
            state.reportEvery = count
            return state.report(bytesMax: bytesMax)
        }
        if let report { consumed(report.count, report.bytes) }
    }

    // MARK: The application's side

    /// Takes everything there is into `batch`, which is empty.
    func take(_ batch: inout Deque<Element>) -> Taken {
        let (taken, report) = state.withLockedValue { state -> (Taken, (count: Int, bytes: Int)?) in
            guard !state.elements.isEmpty else {
                guard state.isEnded else { return (.empty, nil) }
                defer { state.error = nil }
                return (.ended(state.error), nil)
            }
            swap(&state.elements, &batch)
            state.takenCount += state.count
            state.takenBytes += state.bytes
            state.count = 0
            state.bytes = 0
            return (.some, state.isEnded ? nil : state.report(bytesMax: bytesMax))
        }
        if let report { consumed(report.count, report.bytes) }
        return taken
    }

    /// Returns when there is something to take, at the end, or when the task is cancelled.
    func wait(isolation actor: isolated (any Actor)?) async {
        let id = state.withLockedValue { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isReady = state.withLockedValue { state in
                    // Asked under the lock: a cancellation that comes later finds the waiter in its place.
                    if !state.elements.isEmpty || state.isEnded || Task.isCancelled { return true }
                    state.waiters.append((id, continuation))
                    return false
                }
                if isReady { continuation.resume() }
            }
        } onCancel: {
            let waiter = state.withLockedValue { state in
                state.waiters.firstIndex { $0.id == id }.map { state.waiters.remove(at: $0) }
            }
            waiter?.continuation.resume()
        }
    }
}
