// Station 4, intake. Runs on every event loop (in) and on the writer thread (out). In: one submission per read turn
// and connection. Out: batches. Bounded by `uncommitted-bytes`: beyond it publishing connections are not read.

package import ApusModel
internal import Atomics
internal import DequeModule

/// The bounded queue in front of the log.
///
/// Adding never blocks: who adds is told whether it may go on reading, and asks for room when it may not.
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

    /// What became of an item that was brought.
    package enum Added: Sendable {
        /// It is in the queue, and there is room for more.
        case hasRoom
        /// It is in the queue, and publishers stop reading.
        case isFull
        /// Nothing is recorded any more, and this is why: the log has failed, or is being closed.
        case refused(ApusError)
    }

    private struct State {
        var queue: Deque<(item: IntakeItem, bytes: Int, rows: Int)> = []
        /// Of what is queued and of what is being committed.
        var uncommittedBytes = 0
        var isClosed = false
        /// Why nothing is taken any more.
        var failure: ApusError?
        /// Event loops on which connections wait for room.
        var waitingHubs: Set<Int> = []

        var hasWork: Bool { !queue.isEmpty || isClosed }
    }

    private let bytesMax: Int
    private let hubs: Int
    /// The state's, for who only wants to know whether there is room.
    private let uncommitted = ManagedAtomic(0)
    private let batchBytesMax: Int
    private let batchRowsMax: Int
    /// The writer thread waits for it to have work.
    private let state = ConditionLockedState(State())

    /// - Parameter hubs: event loops, which share what room there is.
    package init(limits: Limits, hubs: Int = 1) {
        self.hubs = hubs
        bytesMax = limits.uncommittedBytesMax
        batchBytesMax = limits.batchBytesMax
        batchRowsMax = limits.batchRowsMax
    }

    /// - Returns: where the limit is reached, that connections which publish stop reading: see ``room(orTell:)``.
    package func add(_ item: IntakeItem, bytes: Int, rows: Int) -> Added {
        state.change { state in
            guard !state.isClosed else {
                return .refused(state.failure ?? ApusError(.goingAway, "the broker is stopping"))
            }
            state.queue.append((item, bytes, rows))
            count(bytes, in: &state)
            return state.uncommittedBytes < bytesMax ? .hasRoom : .isFull
        }
    }

    /// Whether the limit is reached. Without a lock: it may have changed when the answer is there.
    package var isFull: Bool { uncommitted.load(ordering: .relaxed) >= bytesMax }

    /// How many bytes of room a hub may have filled now.
    ///
    /// - Returns: its share; 0 where there is no room: then ``committed(bytes:)`` names the hub once there is.
    func room(orTell hub: Int) -> Int {
        state.withLock { state in
            let room = bytesMax - state.uncommittedBytes
            guard room > 0 else {
                state.waitingHubs.insert(hub)
                return 0
            }
            return max(1, room / hubs)
        }
    }

    private func count(_ bytes: Int, in state: inout State) {
        state.uncommittedBytes += bytes
        uncommitted.store(state.uncommittedBytes, ordering: .relaxed)
    }

    /// Waits for work; takes everything that has queued up, as far as it fits into one batch.
    ///
    /// - Parameter timeoutMicroseconds: nil waits for ever.
    package func take(timeoutMicroseconds: Int64?) -> Work {
        guard let timeoutMicroseconds else { return state.wait(until: \.hasWork, then: takeBatch) }
        return state.wait(until: \.hasWork, atMostMicroseconds: max(0, timeoutMicroseconds), then: takeBatch)
            ?? .timeout
    }

    private func takeBatch(_ state: inout State) -> Work {
        var batch = Batch()
        var rows = 0
        while let next = state.queue.first {
            if !batch.isEmpty, batch.bytes + next.bytes > batchBytesMax || rows + next.rows > batchRowsMax { break }
            batch.items.append(next.item)
            batch.bytes += next.bytes
            rows += next.rows
            state.queue.removeFirst()
        }
        return batch.isEmpty ? .end : .batch(batch)
    }

    /// Frees the room of a batch that was answered.
    ///
    /// - Returns: the hubs whose connections may read again.
    package func committed(bytes: Int) -> Set<Int> {
        state.withLock { state in
            count(-bytes, in: &state)
            // A quarter of room before anybody is woken, so that connections do not stop and go with every commit.
            guard !state.waitingHubs.isEmpty, state.uncommittedBytes <= bytesMax / 4 * 3 else { return [] }
            defer { state.waitingHubs = [] }
            return state.waitingHubs
        }
    }

    /// Lets the writer thread finish what is queued and then end.
    package func close() {
        state.change { $0.isClosed = true }
    }

    /// The log has failed: what is queued can still be taken, what comes is refused with `error`.
    package func fail(_ error: ApusError) {
        state.change { state in
            state.isClosed = true
            state.failure = error
        }
    }

    package var uncommittedBytes: Int { uncommitted.load(ordering: .relaxed) }
}
