internal import ApusBroker
internal import ApusModel

extension LogReader {
    /// Where a cursor has to stand so that the next message is the first one of `position`.
    func start(_ position: StartPosition, filters: FilterSet) throws(ApusError) -> Seq {
        switch position {
        case .now, .lastPerTopic: return try snapshot { $0.head }
        case .start: return try snapshot { $0.trimmedThrough }
        case .seq(let seq):
            // After an unclean stop the head is the end of the reservation, so whatever was handed out lies below it.
            let head = try snapshot { $0.head }
            guard seq <= head + 1 else {
                throw ApusError(
                    .logChanged, "seq \(seq) was never given out by this log, whose head is \(head)",
                    hint: "Is it the log that the position comes from? Subscribe from a position that makes sense here."
                )
            }
            return seq == 0 ? 0 : seq - 1
        case .time(let time): return try snapshot { try self.seq(before: time, $0) }
        case .ago(let time):
            let (since, overflow) = settings.clock().subtractingReportingOverflow(time)
            return try snapshot { try self.seq(before: overflow ? .min : since, $0) }
        case .last(let count): return try last(count, filters)
        }
    }

    /// The seq before the first message received at or after `time`; the head where there is none. Times never fall
    /// along the log, so halving finds it, holes or not.
    func seq(before time: Microseconds, _ snapshot: Snapshot) throws -> Seq {
        var low = snapshot.trimmedThrough
        var high = snapshot.head
        let next = try statements.firstAfter
        // Every message up to `low` is older; every one behind `high` is not.
        while low < high {
            let middle = low + (high - low) / 2
            next.bind(1, middle)
            let found = try next.first("looking for a time") { ($0.seq(0), $0.int(1)) }
            if let found, found.0 <= high, found.1 < time {
                low = found.0
            } else {
                high = middle
            }
        }
        return low
    }

    /// The seq before the last `count` messages that match. Walks back a segment at a time, each in a transaction of
    /// its own, so that the write-ahead log is not held for as long as it takes.
    private func last(_ count: Int, _ filters: FilterSet) throws(ApusError) -> Seq {
        let bounds = try snapshot { (after: $0.trimmedThrough, through: $0.head) }
        return try last(count, filters, bounds, accept: nil)
    }

    /// The same between two seqs, of the rows that `accept` takes; nil takes all that the filters match.
    func last(
        _ count: Int, _ filters: FilterSet, _ bounds: (after: Seq, through: Seq),
        accept: ((StoredRow) throws -> Bool)?
    ) throws(ApusError) -> Seq {
        guard count > 0 else { return bounds.through }
        var left = count
        var end = bounds.through
        while end > bounds.after {
            let step = try snapshot { snapshot in
                try lastStep(left, filters, after: bounds.after, end: end, snapshot, accept)
            }
            if let found = step.found { return found - 1 }
            left -= step.count
            end = step.end
        }
        return bounds.after
    }

    private struct LastStep {
        /// The seq of the message sought.
        var found: Seq?
        /// How many matched in this step.
        var count = 0
        /// Where the next step ends.
        var end: Seq
    }

    /// One segment's share of the walk back.
    private func lastStep(
        _ left: Int, _ filters: FilterSet, after: Seq, end: Seq, _ snapshot: Snapshot,
        _ accept: ((StoredRow) throws -> Bool)?
    ) throws -> LastStep {
        let previous = try statements.lastUpTo
        previous.bind(1, end)
        // Over a hole at once, however long.
        guard let newest = try previous.first("looking for the last message", { $0.seq(0) }), newest > after else {
            return LastStep(end: after)
        }
        let segment = Segment(of: newest)
        let low = max(segment.first, after + 1) - 1
        let plan = try plan(filters)
        if case .nothing = plan { return LastStep(end: after) }
        if case .few(let topics) = plan, segment.last <= snapshot.sealedThrough, accept == nil {
            var step = LastStep(end: low)
            let seqs = try seqs(of: topics, in: segment).filter { $0 > low && $0 <= newest }
            step.count = seqs.count
            if seqs.count >= left { step.found = seqs[seqs.count - left] }
            return step
        }
        return try countBackwards(left, filters, after: low, through: newest, accept)
    }

    private func countBackwards(
        _ left: Int, _ filters: FilterSet, after: Seq, through: Seq, _ accept: ((StoredRow) throws -> Bool)?
    ) throws -> LastStep {
        var step = LastStep(end: after)
        matcher.use(filters)
        let statement = try accept == nil ? statements.seqsBackwards : statements.matchingBackwards
        statement.bind(1, after)
        statement.bind(2, through)
        defer { statement.reset() }
        while try statement.step("counting messages") {
            if let accept, try !accept(StoredRow(statement: statement)) { continue }
            step.count += 1
            if step.count == left {
                step.found = statement.seq(0)
                return step
            }
        }
        return step
    }
}
