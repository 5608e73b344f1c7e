// Station 6, answers, on the connection's side. Runs on its event loop. In: what became of its submissions. Out: runs of
// receipts and refusals, room in the publish window. Bounded by the window: nothing is answered that was not in flight.

package import ApusBroker
internal import ApusModel
internal import ApusWire
internal import DequeModule

extension NativeHandler {
    package func answered(_ answer: ItemAnswer, bytes: Int) {
        switch answer {
        case .opened(let handle, let lastID):
            perform(session.opened(handle, lastID: lastID))
            return resume(.opening)
        case .refused(let error) where session.isOpening:
            return perform(session.openingFailed(error))
        case .refused(let error): refused(error)
        case .publish(let list):
            _ = inFlight.popFirst()
            commits += 1
            for answer in list { add(answer) }
        }
        if inFlight.isEmpty { shared.hub.publishers.settled(id) }
        uncommittedBytes -= bytes
        if uncommittedBytes < shared.limits.publishWindowBytes / 2 { resume(.window) }
    }

    private func add(_ answer: PublishAnswer) {
        switch answer {
        case .published(let run): answers.add(run)
        case .refused(let id, let error):
            told(error)
            answers.add(ErrorReply(error, id: id, count: 1), .committed(commits))
        }
    }

    func refused(_ error: ApusError) {
        // None is in flight where it was a name whose conversation has ended meanwhile.
        guard let owed = inFlight.popFirst() else { return }
        told(error)
        // What is queued behind a refusal that may pass is refused too: recorded ids stay a prefix.
        let endsPublishing = error.isFatal || (session.publisher != nil && error.mayPassLater)
        var said = error
        said.isFatal = endsPublishing
        commits += 1
        if owed.withID > 0 {
            answers.add(ErrorReply(said, id: owed.lastID, count: owed.withID), .committed(commits))
        }
        if owed.withoutID > 0 { answers.add(ErrorReply(said, count: owed.withoutID), .committed(commits)) }
        if endsPublishing { finish(session.fail(error)) }
    }
}

/// What a submission in flight owes its publisher.
struct Owed {
    var withID: UInt64 = 0
    var lastID: UInt64 = 0
    var withoutID: UInt64 = 0

    init(_ submission: Submission) {
        for message in submission.messages where message.level != .none {
            if message.hasID {
                withID += 1
                lastID = message.id
            } else {
                withoutID += 1
            }
        }
    }
}
