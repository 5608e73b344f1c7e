internal import NIOConcurrencyHelpers

/// What any thread may look at. Protected by its lock; written on the event loop only.
final class SharedState: Sendable {
    private struct Values {
        var state = ApusClient.State.connecting
        var info: ServerInfo?
        var observers: [UInt64: AsyncStream<ApusClient.State>.Continuation] = [:]
        var nextObserver: UInt64 = 0
    }

    /// States that one observer may be behind; it misses the oldest ones beyond.
    private static let statesMax = 64

    private let values = NIOLockedValueBox(Values())

    var state: ApusClient.State { values.withLockedValue { $0.state } }
    var info: ServerInfo? { values.withLockedValue { $0.info } }

    func welcomed(_ info: ServerInfo) { values.withLockedValue { $0.info = info } }

    func change(_ state: ApusClient.State) {
        let observers = values.withLockedValue { values in
            values.state = state
            return Array(values.observers.values)
        }
        for observer in observers {
            observer.yield(state)
            if state == .closed { observer.finish() }
        }
    }

    /// The present state, then each that follows, to the end.
    func states() -> AsyncStream<ApusClient.State> {
        let (stream, observer) = AsyncStream.makeStream(
            of: ApusClient.State.self, bufferingPolicy: .bufferingNewest(SharedState.statesMax))
        let (id, state) = values.withLockedValue { values in
            values.nextObserver += 1
            values.observers[values.nextObserver] = observer
            // Under the lock, so that no later state comes before it.
            observer.yield(values.state)
            return (values.nextObserver, values.state)
        }
        observer.onTermination = { [weak self] _ in
            self?.values.withLockedValue { $0.observers[id] = nil }
        }
        if state == .closed { observer.finish() }
        return stream
    }
}
