internal import DequeModule
package import NIOCore

/// Work of one event loop that can wait: one piece at a time, and the loop looks at its sockets in between.
///
/// `EventLoop.execute` does not do that: NIO runs what its tasks add, and what that adds, before it looks at a socket
/// again, so that one connection which goes on by `execute` keeps all others of its loop waiting. A task that is due a
/// little later ends the turn; as there is only ever one, tasks cannot keep each other due.
///
/// Confined to its event loop; not Sendable. Bounded by its users: each queues one piece at a time.
package final class TurnQueue {
    private let loop: any EventLoop
    private var pieces: Deque<() -> Void> = []
    private var isDue = false

    /// Longer than what lies between the end of a piece and the loop's look at its timers.
    package static let delay = TimeAmount.microseconds(20)

    package init(loop: any EventLoop) { self.loop = loop }

    /// Has `piece` done behind those that wait already, and after the sockets that are readable now.
    package func later(_ piece: @escaping () -> Void) {
        pieces.append(piece)
        if !isDue { arm() }
    }

    private func arm() {
        isDue = true
        let bound = NIOLoopBound(self, eventLoop: loop)
        loop.scheduleTask(in: TurnQueue.delay) { bound.value.turn() }
    }

    private func turn() {
        isDue = false
        pieces.popFirst()?()
        if !pieces.isEmpty, !isDue { arm() }
    }
}
