// Part of station 6. Runs on the connection's event loop. Answers wait here as state, not as bytes: runs that follow
// each other become one, and so do equal refusals, so that a client which sends everything before it reads anything
// never blocks itself. Bounded by `max-answers`, and the texts of refusals by `replies-bytes`.

internal import ApusBroker
internal import ApusModel
internal import ApusWire
internal import DequeModule

/// What is owed to one publisher, in order.
struct PendingAnswers {
    /// Where a refusal comes from.
    enum Origin: Hashable {
        /// The publish went no further than its connection, which had accepted so many before it.
        case atOnce(behind: UInt64)
        /// The writer's, in its answer to one submission.
        case committed(UInt64)
    }

    private enum Answer {
        case run(PublishedRun)
        case refused(ErrorReply, Origin)
    }

    private var answers: Deque<Answer> = []
    /// Publishes without an id that were accepted, and those answered: their answers come in order, so an error for
    /// one that was refused at once waits until all before it are answered.
    private var acceptedWithoutID: UInt64 = 0
    private var answeredWithoutID: UInt64 = 0
    private var deferred: Deque<(behind: UInt64, reply: ErrorReply, origin: Origin)> = []
    /// What the refusals cost in memory, about.
    private(set) var bytes = 0

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
            releaseFirstDeferred()
        }
        if rest.count > 0 {
            append(rest)
            answeredWithoutID += rest.count
        }
        releaseDeferred()
    }

    /// - Parameter reply: names how many publishes it answers. Of those without ids, the writer's answer ones that were
    ///   accepted.
    mutating func add(_ reply: ErrorReply, _ origin: Origin) {
        guard reply.id == nil else { return append(reply, origin) }
        guard case .committed = origin else {
            addDeferred(reply, origin)
            return releaseDeferred()
        }
        // As in a run, deferred errors may belong into the middle.
        var rest = reply.count
        while rest > 0 {
            var part = reply
            part.count = min(rest, deferred.first.map { $0.behind - answeredWithoutID } ?? rest)
            append(part, origin)
            answeredWithoutID += part.count
            rest -= part.count
            releaseDeferred()
        }
        releaseDeferred()
    }

    private mutating func addDeferred(_ reply: ErrorReply, _ origin: Origin) {
        if let last = deferred.last, last.behind == acceptedWithoutID, last.reply.error == reply.error {
            deferred[deferred.count - 1].reply.count += reply.count
        } else {
            deferred.append((acceptedWithoutID, reply, origin))
            bytes += PendingAnswers.cost(reply)
        }
    }

    private mutating func releaseDeferred() {
        while let next = deferred.first, next.behind <= answeredWithoutID { releaseFirstDeferred() }
    }

    private mutating func releaseFirstDeferred() {
        guard let next = deferred.popFirst() else { return }
        bytes -= PendingAnswers.cost(next.reply)
        append(next.reply, next.origin)
    }

    private mutating func append(_ run: PublishedRun) {
        if case .run(var last)? = answers.last, last.merge(run) {
            answers[answers.count - 1] = .run(last)
        } else {
            answers.append(.run(run))
        }
    }

    private mutating func append(_ reply: ErrorReply, _ origin: Origin) {
        if case .refused(var last, let lastOrigin)? = answers.last,
            PendingAnswers.merge(reply, origin, into: &last, lastOrigin)
        {
            answers[answers.count - 1] = .refused(last, origin)
        } else {
            answers.append(.refused(reply, origin))
            bytes += PendingAnswers.cost(reply)
        }
    }

    /// With ids, a refusal of several names the last ones up to its id that are not answered yet: so nothing that was
    /// accepted may lie between them. Without, answers go by their order alone.
    private static func merge(
        _ next: ErrorReply, _ origin: Origin, into last: inout ErrorReply, _ lastOrigin: Origin
    ) -> Bool {
        guard last.error == next.error else { return false }
        switch (last.id, next.id) {
        case (nil, nil): break
        case (let before?, let id?) where before < id && lastOrigin == origin: last.id = id
        default: return false
        }
        last.count += next.count
        return true
    }

    private static func cost(_ reply: ErrorReply) -> Int {
        reply.error.message.utf8.count + (reply.error.hint?.utf8.count ?? 0) + 256
    }

    /// The next answer, as a frame.
    mutating func next() -> Frame? {
        switch answers.popFirst() {
        case nil: return nil
        case .run(let run): return .published(run)
        case .refused(let reply, _):
            bytes -= PendingAnswers.cost(reply)
            return .error(reply)
        }
    }
}
