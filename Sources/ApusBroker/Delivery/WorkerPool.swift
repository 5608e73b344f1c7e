internal import DequeModule
internal import NIOConcurrencyHelpers

/// A queue of work, and the threads that are lent to it. Work is done in the order in which it came, so that with one
/// request at a time each, those who ask take turns.
package final class WorkerPool: Sendable {
    private struct Queue {
        var jobs: Deque<@Sendable () -> Void> = []
        var isClosed = false
    }

    /// True while there is something to do. Protects `queue`.
    private let hasWork = ConditionLock<Bool>(value: false)
    nonisolated(unsafe) private var queue = Queue()

    package init() {}

    package func perform(_ work: @escaping @Sendable () -> Void) {
        hasWork.lock()
        if !queue.isClosed { queue.jobs.append(work) }
        hasWork.unlock(withValue: !queue.jobs.isEmpty || queue.isClosed)
    }

    /// Does what is asked until the pool is closed. Called on each of the pool's threads.
    package func run() {
        while true {
            hasWork.lock(whenValue: true)
            let job = queue.jobs.popFirst()
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
        hasWork.unlock(withValue: true)
    }
}
