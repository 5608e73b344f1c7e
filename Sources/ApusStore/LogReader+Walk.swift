internal import ApusBroker
internal import ApusModel

/// Whether a walk over rows goes on.
enum WalkStep {
    case goOn
    /// The row is not covered: it comes again.
    case stopBefore
    /// The row was the last one.
    case stopAfter
}

/// The work of one step of a look-up, so that its read transaction stays short: it ends with the segment in which one
/// of these is spent.
struct StepWork {
    /// Rows read.
    var rows: Seq = 0
    /// Look-ups in an index.
    var probes = 0
    /// Seqs taken out of posting lists.
    var seqs = 0

    var isSpent: Bool {
        rows >= LogReader.rowsMax || probes >= LogReader.probesMax || seqs >= LogReader.seqsMax
    }
}

extension LogReader {
    /// Work of one call, so that a read transaction stays short: rows read, posting lists looked up, seqs taken out of
    /// them.
    static let rowsMax: Seq = 16_384
    static let probesMax = 2_048
    static let seqsMax = 262_144
    /// A match found by its list costs a seek, about 1.5 µs; a row passed over by a scan 0.2 µs. So from one row in
    /// eight on, reading the whole segment is cheaper.
    private static let denseMin = Int(Segment.seqs) / 8
    /// Ranges shorter than this are read: unpacking lists of whole segments costs as much.
    private static let scanSeqsMax: Seq = 1_024

    /// Shows `visit` the rows that match, from `after` on, in the order of their seqs.
    /// - Returns: the seq up to which everything has been seen; less than `through` where the work was bounded.
    func walk(
        _ filters: FilterSet, after: Seq, through: Seq, _ snapshot: Snapshot, _ visit: (StoredRow) throws -> WalkStep
    ) throws -> Seq {
        guard after < through else { return after }
        switch try plan(filters) {
        case .nothing: return through
        case .everything, .many: return try scan(filters, after: after, through: through, visit).through
        case .few(let topics):
            let listed = min(through, snapshot.sealedThrough)
            guard listed > after, listed - after > LogReader.scanSeqsMax else {
                return try scan(filters, after: after, through: through, visit).through
            }
            let reached = try walkLists(filters, topics, after: after, through: listed, visit)
            guard !reached.isDone, reached.through == listed, listed < through else { return reached.through }
            return try scan(filters, after: listed, through: through, visit).through
        }
    }

    /// Reads rows one after the other.
    private func scan(
        _ filters: FilterSet, after: Seq, through: Seq, _ visit: (StoredRow) throws -> WalkStep
    ) throws -> (through: Seq, isDone: Bool) {
        let next = try statements.firstAfter
        next.bind(1, after)
        guard let first = try next.first("looking for the next message", { $0.seq(0) }), first <= through else {
            return (through, false)
        }
        // Over a hole at once, however long.
        let end = min(through, first - 1 + LogReader.rowsMax)
        let statement = try filters.isEverything ? statements.everything : statements.matching
        matcher.use(filters)
        statement.bind(1, first - 1)
        statement.bind(2, end)
        defer { statement.reset() }
        while try statement.step("reading messages") {
            let row = StoredRow(statement: statement)
            switch try visit(row) {
            case .goOn: continue
            case .stopBefore: return (row.seq - 1, true)
            case .stopAfter: return (row.seq, true)
            }
        }
        return (end, false)
    }

    /// Reads the rows that the topics' posting lists name, up to a sealed seq.
    private func walkLists(
        _ filters: FilterSet, _ topics: [Int64], after: Seq, through: Seq, _ visit: (StoredRow) throws -> WalkStep
    ) throws -> (through: Seq, isDone: Bool) {
        var position = after
        var probes = 0
        var rows: Seq = 0
        while position < through {
            guard probes < LogReader.probesMax, rows < LogReader.rowsMax else { return (position, true) }
            let segment = Segment(of: position + 1)
            let end = min(segment.last, through)
            let seqs = try self.seqs(of: topics, in: segment)
            probes += topics.count
            if seqs.count > LogReader.denseMin {
                let scanned = try scan(filters, after: position, through: end, visit)
                if scanned.isDone || scanned.through < end { return (scanned.through, true) }
                rows += Segment.seqs
            } else {
                for seq in seqs where seq > position && seq <= end {
                    rows += 1
                    switch try show(seq, of: topics, visit) {
                    case .goOn: continue
                    case .stopBefore: return (seq - 1, true)
                    case .stopAfter: return (seq, true)
                    }
                }
            }
            position = end
        }
        return (position, false)
    }

    /// One row; one that is gone is passed over.
    ///
    /// - Parameter topics: whose lists name it: a list that names another topic's is damaged, and rights depend on it.
    private func show(_ seq: Seq, of topics: [Int64], _ visit: (StoredRow) throws -> WalkStep) throws -> WalkStep {
        let statement = try statements.one
        statement.bind(1, seq)
        defer { statement.reset() }
        guard try statement.step("reading a message") else { return .goOn }
        let row = StoredRow(statement: statement)
        guard topics.contains(row.topic) else {
            throw damaged("a posting list of segment \(Segment(of: seq).number) names message \(seq) of another topic")
        }
        return try visit(row)
    }

    /// The seqs that the lists of a sealed segment name, ascending.
    func seqs(of topics: [Int64], in segment: Segment) throws -> [Seq] {
        var seqs: [Seq] = []
        let statement = try statements.posting
        for topic in topics {
            statement.bind(1, segment.number)
            statement.bind(2, topic)
            let isGood = try statement.first("reading a posting list") { row in
                PostingList.unpack(row.bytes(0), segment: segment, into: &seqs)
            }
            if isGood == false { throw damaged("the posting list of topic \(topic) in segment \(segment.number)") }
        }
        if topics.count > 1 { seqs.sort() }
        return seqs
    }
}
