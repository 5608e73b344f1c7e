internal import ApusBroker
internal import ApusModel

// The last so many messages that match: from the newest back, a segment at a time.
extension LogReader {
    /// One step of the walk: as many segments as a short read transaction holds.
    ///
    /// - Parameter matcher: which of the rows that the filters match are taken; nil takes all.
    /// - Returns: the seq before the first of the messages sought; where there are not so many, the seq before all.
    func walkBack(
        _ walk: BackwardWalk, _ filters: FilterSet, _ snapshot: Snapshot, _ matcher: inout HistoryMatcher?
    ) throws -> LookUpStep<Seq, BackwardWalk> {
        guard walk.missing > 0 else { return .answer(walk.range.through) }
        let plan = try plan(filters)
        if case .nothing = plan { return .answer(walk.range.after) }
        var walk = walk
        // What has been deleted since the first step is not there to be found.
        walk.range.after = min(max(walk.range.after, snapshot.trimmedThrough), walk.range.through)
        self.matcher.use(filters)
        var work = StepWork()
        while walk.range.after < walk.range.through {
            guard !work.isSpent else { return .goOn(walk) }
            if let found = try walkBackOnce(&walk, plan, snapshot, &matcher, &work) { return .answer(found - 1) }
        }
        return .answer(walk.range.after)
    }

    /// One segment's share, or a part of it.
    /// - Returns: the seq of the first message sought, where it is there.
    private func walkBackOnce(
        _ walk: inout BackwardWalk, _ plan: ReadPlan, _ snapshot: Snapshot, _ matcher: inout HistoryMatcher?,
        _ work: inout StepWork
    ) throws -> Seq? {
        let previous = try statements.lastUpTo
        previous.bind(1, walk.range.through)
        // Over a hole at once, however long.
        guard let newest = try previous.first("looking for the last message", { $0.seq(0) }), newest > walk.range.after
        else {
            walk.range.through = walk.range.after
            return nil
        }
        let segment = Segment(of: newest)
        let low = max(segment.first, walk.range.after + 1) - 1
        guard case .few(let topics) = plan, segment.last <= snapshot.sealedThrough, matcher == nil else {
            return try countBackwards(&walk, SeqRange(after: low, through: newest), &matcher, &work)
        }
        let listed = try seqs(of: topics, in: segment)
        work.probes += topics.count
        work.seqs += listed.count
        let seqs = listed.filter { $0 > low && $0 <= newest }
        if seqs.count >= walk.missing { return seqs[seqs.count - walk.missing] }
        walk.missing -= seqs.count
        walk.range.through = low
        return nil
    }

    /// Reads the rows of a part of a segment.
    private func countBackwards(
        _ walk: inout BackwardWalk, _ part: SeqRange, _ matcher: inout HistoryMatcher?, _ work: inout StepWork
    ) throws -> Seq? {
        let statement = try matcher == nil ? statements.seqsBackwards : statements.matchingBackwards
        statement.bind(1, part.after)
        statement.bind(2, part.through)
        defer { statement.reset() }
        work.rows += Segment.seqs
        while try statement.step("counting messages") {
            if try matcher?.matches(StoredRow(statement: statement)) != false {
                walk.missing -= 1
                if walk.missing == 0 { return statement.seq(0) }
            }
            if let matcher, matcher.bytes > LogReader.searchBytesMax {
                walk.range.through = statement.seq(0) - 1
                return nil
            }
        }
        walk.range.through = part.after
        return nil
    }
}
