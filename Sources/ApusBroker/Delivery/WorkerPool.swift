internal import DequeModule
internal import NIOConcurrencyHelpers

/// A queue of work, and the threads that are lent to it. Connections take turns: one that asks for much delays nobody
/// but itself, and what it asked for goes with it.
package final class WorkerPool: Sendable {
    private struct Queue {
        /// What waits, by whom it is for, in the order in which it came.
        var jobs: [ConnectionID: Deque<@Sendable () -> Void>] = [:]
        /// Who has something waiting, each once; and some who are gone.
        var turns: Deque<ConnectionID> = []
        var isClosed = false

        mutating func next() -> (@Sendable () -> Void)? {
            while let owner = turns.popFirst() {
                guard let job = jobs[owner]?.popFirst() else { continue }
                if jobs[owner]?.isEmpty == true { jobs[owner] = nil } else { turns.append(owner) }
                return job
            }
            return nil
        }
    }

    /// True while there is something to do. Protects `queue`.
    private let hasWork = ConditionLock<Bool>(value: false)
    nonisolated(unsafe) private var queue = Queue()

    package init() {}

    /// Work that is no connection's takes its turns as if it were one's.
    package func perform(
        for owner: ConnectionID = ConnectionID(hub: -1, number: 0), _ work: @escaping @Sendable () -> Void
    ) {
        hasWork.lock()
        if !queue.isClosed {
            if queue.jobs[owner] == nil { queue.turns.append(owner) }
            queue.jobs[owner, default: []].append(work)
        }
        hasWork.unlock(withValue: !queue.jobs.isEmpty || queue.isClosed)
    }

    /// Its connection is gone: what waits for it is not done.
    package func drop(_ owner: ConnectionID) {
        hasWork.lock()
        let dropped = queue.jobs.removeValue(forKey: owner)
        if queue.jobs.isEmpty { queue.turns.removeAll() }
        hasWork.unlock(withValue: !queue.jobs.isEmpty || queue.isClosed)
        // What it holds ends here, without the lock.
        withExtendedLifetime(dropped) {}
    }

    /// Does what is asked until the pool is closed. Called on each of the pool's threads.
    package func run() {
        while true {
            hasWork.lock(whenValue: true)
            let job = queue.next()
            let isClosed = queue.isClosed
            hasWork.unlock(withValue: !queue.jobs.isEmpty || isClosed)
            if let job {
                job()
            } else if isClosed {
                return
            }
        }
    }

    /// Lets the threads go. Work that waits is dropped.
    package func close() {
        hasWork.lock()
        queue.isClosed = true
        queue.jobs.removeAll()
        queue.turns.removeAll()
        hasWork.unlock(withValue: true)
    }
}
