// Part of station 6. Runs on the connection's event loop. Answers wait here as state, not as bytes: runs that follow
// each other become one, so that a client which sends everything before it reads anything never blocks itself.

internal import ApusBroker
internal import ApusModel
internal import ApusWire
internal import DequeModule

/// What is owed to one publisher, in order.
struct PendingAnswers {
    private enum Answer {
        case run(PublishedRun)
        case refused(ErrorReply)
    }

    private var answers: Deque<Answer> = []
    /// Publishes without an id that were accepted, and those answered: their answers come in order, so an error for
    /// one that was refused at once waits until all before it are answered.
    private var acceptedWithoutID: UInt64 = 0
    private var answeredWithoutID: UInt64 = 0
    private var deferred: Deque<(behind: UInt64, reply: ErrorReply)> = []

    init() {}

    var isEmpty: Bool { answers.isEmpty && deferred.isEmpty }
    var count: Int { answers.count + deferred.count }

    /// So many publishes without an id were accepted and will be answered.
    mutating func accepted(withoutID count: UInt64) { acceptedWithoutID += count }

    mutating func add(_ run: PublishedRun) {
        guard run.lastID == nil else { return append(run) }
        // Deferred errors may belong into the middle of the run: it is cut there.
        var rest = run
        while let next = deferred.first, next.behind < answeredWithoutID + rest.count {
            let count = next.behind - answeredWithoutID
            if count > 0 {
                var part = rest
                part.count = count
                part.lastSeq = rest.isDuplicate ? 0 : rest.lastSeq - (rest.count - count)
                append(part)
                rest.count -= count
                answeredWithoutID += count
            }
            answers.append(.refused(next.reply))
            deferred.removeFirst()
        }
        if rest.count > 0 {
            append(rest)
            answeredWithoutID += rest.count
        }
        releaseDeferred()
    }

    /// - Parameter count: how many accepted publishes it answers; 0 for one that was refused at once.
    mutating func add(_ reply: ErrorReply, answersAccepted count: UInt64) {
        guard reply.id == nil else { return answers.append(.refused(reply)) }
        if count == 0 { deferred.append((acceptedWithoutID, reply)) }
        // As in a run, deferred errors may belong into the middle.
        var rest = count
        while rest > 0 {
            var part = reply
            part.count = min(rest, deferred.first.map { $0.behind - answeredWithoutID } ?? rest)
            answers.append(.refused(part))
            answeredWithoutID += part.count
            rest -= part.count
            releaseDeferred()
        }
        releaseDeferred()
    }

    private mutating func releaseDeferred() {
        while let next = deferred.first, next.behind <= answeredWithoutID {
            answers.append(.refused(next.reply))
            deferred.removeFirst()
        }
    }

    private mutating func append(_ run: PublishedRun) {
        if case .run(var last)? = answers.last, last.merge(run) {
            answers[answers.count - 1] = .run(last)
        } else {
            answers.append(.run(run))
        }
    }

    /// The next answer, as a frame.
    mutating func next() -> Frame? {
        switch answers.popFirst() {
        case nil: return nil
        case .run(let run): return .published(run)
        case .refused(let reply): return .error(reply)
        }
    }
}
