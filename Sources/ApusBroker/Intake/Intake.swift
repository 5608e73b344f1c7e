// Station 4, intake. Runs on every event loop (in) and on the writer thread (out). In: one submission per read turn
// and connection. Out: batches. Bounded by `uncommitted-bytes`: beyond it publishing connections are not read.

package import ApusModel
internal import DequeModule
internal import NIOConcurrencyHelpers

/// The bounded queue in front of the log.
///
/// Adding never fails and never blocks: who adds is told whether it may go on reading, and is woken when there is room.
package final class Intake: Sendable {
    /// What the writer thread took, and what it costs until it is committed.
    package struct Batch: Sendable {
        package var items: [IntakeItem] = []
        package var bytes = 0
        package var isEmpty: Bool { items.isEmpty }
    }

    package enum Work: Sendable {
        case batch(Batch)
        /// Nothing came before the time was up.
        case timeout
        /// Closed, and everything has been taken.
        case end
    }

    private struct State {
        var queue: Deque<(item: IntakeItem, bytes: Int, rows: Int)> = []
        /// Of what is queued and of what is being committed.
        var uncommittedBytes = 0
        var isClosed = false
        /// Event loops on which connections wait for room.
        var waitingHubs: Set<Int> = []
    }

    private let bytesMax: Int
    private let batchBytesMax: Int
    private let batchRowsMax: Int
    /// True while there is something for the writer thread to do. Protects `state`.
    private let hasWork = ConditionLock<Bool>(value: false)
    nonisolated(unsafe) private var state = State()

    package init(limits: Limits) {
        bytesMax = limits.uncommittedBytesMax
        batchBytesMax = limits.batchBytesMax
        batchRowsMax = limits.batchRowsMax
    }

    /// - Returns: false where the limit is reached: the connection stops reading; its hub is named by
    ///   ``committed(bytes:)`` once there is room again. What was added is in the queue all the same.
    package func add(_ item: IntakeItem, bytes: Int, rows: Int, hub: Int) -> Bool {
        hasWork.lock()
        state.queue.append((item, bytes, rows))
        state.uncommittedBytes += bytes
        let hasRoom = state.uncommittedBytes < bytesMax
        if !hasRoom { state.waitingHubs.insert(hub) }
        hasWork.unlock(withValue: true)
        return hasRoom
    }

    /// Waits for work; takes everything that has queued up, as far as it fits into one batch.
    ///
    /// - Parameter timeoutMicroseconds: nil waits for ever.
    package func take(timeoutMicroseconds: Int64?) -> Work {
        if let timeoutMicroseconds {
            guard hasWork.lock(whenValue: true, timeoutSeconds: max(0, Double(timeoutMicroseconds) / 1e6)) else {
                return .timeout
            }
        } else {
            hasWork.lock(whenValue: true)
        }
        var batch = Batch()
        var rows = 0
        while let next = state.queue.first {
            if !batch.isEmpty, batch.bytes + next.bytes > batchBytesMax || rows + next.rows > batchRowsMax { break }
            batch.items.append(next.item)
            batch.bytes += next.bytes
            rows += next.rows
            state.queue.removeFirst()
        }
        let isEnd = batch.isEmpty && state.isClosed
        hasWork.unlock(withValue: !state.queue.isEmpty || state.isClosed)
        if isEnd { return .end }
        return batch.isEmpty ? .timeout : .batch(batch)
    }

    /// Frees the room of a batch that was answered.
    ///
    /// - Returns: the hubs whose connections may read again.
    package func committed(bytes: Int) -> Set<Int> {
        hasWork.lock()
        defer { hasWork.unlock() }
        state.uncommittedBytes -= bytes
        // A quarter of room before anybody is woken, so that connections do not stop and go with every commit.
        guard !state.waitingHubs.isEmpty, state.uncommittedBytes <= bytesMax / 4 * 3 else { return [] }
        defer { state.waitingHubs = [] }
        return state.waitingHubs
    }

    /// Lets the writer thread finish what is queued and then end.
    package func close() {
        hasWork.lock()
        state.isClosed = true
        hasWork.unlock(withValue: true)
    }

    package var uncommittedBytes: Int { hasWork.withLock { state.uncommittedBytes } }
}

extension ConditionLock {
    fileprivate func withLock<Value>(_ body: () -> Value) -> Value {
        lock()
        defer { unlock() }
        return body()
    }
}
