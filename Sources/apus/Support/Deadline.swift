internal import NIOConcurrencyHelpers

/// Bounds on how long a command waits.
enum Deadline {
    /// Runs `work`; gives up with `error` after `seconds`, and with `CancellationError` when the task is cancelled, also
    /// where `work` itself does not heed that.
    static func run<T: Sendable>(
        seconds: Double?, orThrow error: any Error, _ work: @escaping @Sendable () async throws -> T
    ) async throws -> T {
        let race = Race<T>()
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                race.begin(continuation)
                let worker = Task {
                    do { race.end(.success(try await work())) } catch { race.end(.failure(error)) }
                }
                race.onEnd { worker.cancel() }
                guard let seconds else { return }
                let timer = Task {
                    try await Task.sleep(nanoseconds: UInt64(seconds * 1e9))
                    race.end(.failure(error))
                }
                race.onEnd { timer.cancel() }
            }
        } onCancel: {
            race.end(.failure(CancellationError()))
        }
    }

    /// The first result wins.
    private final class Race<T: Sendable>: Sendable {
        private struct State {
            var continuation: CheckedContinuation<T, any Error>?
            var result: Result<T, any Error>?
            var cleanups: [@Sendable () -> Void] = []
        }

        private let state = NIOLockedValueBox(State())

        func begin(_ continuation: CheckedContinuation<T, any Error>) {
            let early = state.withLockedValue { state in
                if state.result == nil { state.continuation = continuation }
                return state.result
            }
            if let early { continuation.resume(with: early) }
        }

        func onEnd(_ cleanup: @escaping @Sendable () -> Void) {
            let isOver = state.withLockedValue { state in
                if state.result == nil { state.cleanups.append(cleanup) }
                return state.result != nil
            }
            if isOver { cleanup() }
        }

        func end(_ result: Result<T, any Error>) {
            let (continuation, cleanups) = state.withLockedValue { state in
                guard state.result == nil else {
                    return (nil, []) as (CheckedContinuation<T, any Error>?, [@Sendable () -> Void])
                }
                state.result = result
                defer { state.cleanups = [] }
                return (state.continuation, state.cleanups)
            }
            continuation?.resume(with: result)
            for cleanup in cleanups { cleanup() }
        }
    }
}
