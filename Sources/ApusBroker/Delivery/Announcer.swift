// Station 6, announce. Runs on the writer thread, once per commit. In: the commit's outcome. Out: at most one hop to
// each event loop, with the answers for its publishers and the batch for its subscribers.

package import ApusModel
internal import NIOConcurrencyHelpers

/// What one event loop is told about a commit.
package struct Announcement: Sendable {
    /// Which items are answered, by connection, in their order, and how many bytes of each are free again.
    package var answers: [(connection: ConnectionID, answer: ItemAnswer, bytes: Int)] = []
    /// Only for loops with subscriptions.
    package var batch: MessageBatch?
    /// There is room in the intake again: paused connections may read.
    package var hasRoom = false

    var isEmpty: Bool { answers.isEmpty && batch == nil && !hasRoom }
}

/// An event loop's hub, as other threads see it.
package protocol HubPort: Sendable {
    /// Hands the announcement over to the loop; returns at once.
    func post(_ announcement: Announcement)
}

/// Tells every event loop what it needs to know of a commit, and nothing else.
package final class Announcer: Sendable {
    private struct State {
        var hubs: [any HubPort] = []
        var isInterested: [Bool] = []
        var through: Seq
    }

    private let state: NIOLockedValueBox<State>

    package init(head: Seq) {
        state = NIOLockedValueBox(State(through: head))
    }

    /// All hubs are added before the first announcement.
    package func add(_ hub: any HubPort) {
        state.withLockedValue {
            $0.hubs.append(hub)
            $0.isInterested.append(false)
        }
    }

    /// From now on the hub gets every batch behind the seq returned.
    package func subscribe(hub: Int) -> Seq {
        state.withLockedValue {
            $0.isInterested[hub] = true
            return $0.through
        }
    }

    package func unsubscribe(hub: Int) {
        state.withLockedValue { $0.isInterested[hub] = false }
    }

    /// The newest seq that was announced.
    package var through: Seq { state.withLockedValue { $0.through } }

    func announce(items: [IntakeItem], outcome: CommitOutcome, freed: Set<Int>) {
        let (hubs, isInterested) = state.withLockedValue {
            if let batch = outcome.batch { $0.through = batch.through }
            return ($0.hubs, $0.isInterested)
        }
        var announcements = Array(repeating: Announcement(), count: hubs.count)
        for (item, answer) in zip(items, outcome.answers) {
            switch item {
            case .publish(let submission):
                announcements[submission.connection.hub].answers.append(
                    (submission.connection, answer, submission.bytes))
            case .openPublisher(let open):
                announcements[open.connection.hub].answers.append((open.connection, answer, 0))
            }
        }
        for hub in hubs.indices {
            if isInterested[hub] { announcements[hub].batch = outcome.batch }
            announcements[hub].hasRoom = freed.contains(hub)
            if !announcements[hub].isEmpty { hubs[hub].post(announcements[hub]) }
        }
    }
}
