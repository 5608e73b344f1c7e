internal import ApusBroker
internal import ApusModel
internal import GRDBSQLite

extension LogReader {
    /// Topics looked at in one step, and bytes of their texts.
    private static let examinedTopicsMax = 16_384
    private static let examinedBytesMax = 4 << 20

    /// The next step of a page of topics: first which, then how many messages each has, some segments at a time.
    func topics(_ lookUp: TopicsLookUp) throws(ApusError) -> LookUpStep<TopicPage, TopicsLookUp> {
        try snapshot { snapshot in
            var next = lookUp
            if var count = lookUp.count {
                try add(to: &count, snapshot)
                next.count = count
            } else {
                next.count = try names(lookUp, snapshot)
            }
            guard let count = next.count, count.range.after < count.range.through, !count.ids.isEmpty else {
                return .answer(next.count?.page ?? TopicPage(rows: [], next: nil))
            }
            return .goOn(next)
        }
    }

    /// The page's topics, with nothing counted yet.
    private func names(_ lookUp: TopicsLookUp, _ snapshot: Snapshot) throws -> TopicCount {
        let statement = try statements.topicsAfter
        statement.bind(1, lookUp.afterID)
        statement.bind(2, Int64(LogReader.examinedTopicsMax))
        defer { statement.reset() }
        var ids: [Int64] = []
        var page = TopicPage(rows: [], next: nil)
        var bytesKept = 0
        var bytesExamined = 0
        var examined = 0
        while try statement.step("reading topics") {
            let id = statement.int(0)
            let text = statement.bytes(1)
            examined += 1
            bytesExamined += text.count
            if isWanted(text, lookUp.filters) {
                ids.append(id)
                page.rows.append(TopicRow(topic: String(decoding: text, as: UTF8.self), messages: 0, lastSeq: 0))
                bytesKept += text.count + MemoryLayout<TopicRow>.stride
            }
            let isFull = ids.count >= max(1, lookUp.countMax) || bytesKept >= lookUp.bytesMax
            if isFull || bytesExamined >= LogReader.examinedBytesMax || examined == LogReader.examinedTopicsMax {
                page.next = id
                break
            }
        }
        return TopicCount(
            ids: ids, page: page, range: SeqRange(after: snapshot.trimmedThrough, through: snapshot.head))
    }

    private func isWanted(_ topic: UnsafeRawBufferPointer, _ filters: FilterSet) -> Bool {
        filters.isEverything || filters.matches(Array(topic))
    }

    /// Adds up what the next segments say: by their lists where those are sealed, else row by row.
    private func add(to count: inout TopicCount, _ snapshot: Snapshot) throws {
        guard let low = count.ids.first, let high = count.ids.last else { return }
        var work = StepWork()
        while count.range.after < count.range.through, !work.isSpent {
            let next = try statements.firstAfter
            next.bind(1, count.range.after)
            // Over a hole at once, however long.
            guard let first = try next.first("looking for the next message", { $0.seq(0) }),
                first <= count.range.through
            else {
                count.range.after = count.range.through
                return
            }
            let segment = Segment(of: first)
            count.range.after = max(count.range.after, max(segment.first, 1) - 1)
            work.probes += 1
            // A list speaks for its whole segment: not where the segment's beginning has been deleted, nor where it goes
            // on beyond the range.
            let isWhole = count.range.after < max(segment.first, 1) && segment.last <= count.range.through
            if isWhole, segment.last <= snapshot.sealedThrough {
                try addLists(of: segment, low...high, to: &count, &work)
            } else {
                try addRows(through: min(segment.last, count.range.through), to: &count, &work)
            }
        }
    }

    private func addLists(
        of segment: Segment, _ ids: ClosedRange<Int64>, to count: inout TopicCount, _ work: inout StepWork
    ) throws {
        let statement = try statements.postingRange
        statement.bind(1, segment.number)
        statement.bind(2, ids.lowerBound)
        statement.bind(3, ids.upperBound)
        defer { statement.reset() }
        while try statement.step("counting messages") {
            work.rows += 1
            let topic = statement.int(1)
            guard count.index(of: topic) != nil else { continue }
            let bytes = statement.bytes(2)
            work.seqs += bytes.count
            guard let last = PostingList.last(bytes, segment: segment) else {
                throw damaged("the posting list of topic \(topic) in segment \(segment.number)")
            }
            count.add(topic, messages: UInt64(PostingList.count(bytes)), lastSeq: last)
        }
        count.range.after = segment.last
    }

    private func addRows(through: Seq, to count: inout TopicCount, _ work: inout StepWork) throws {
        let statement = try statements.unsealedTopics
        statement.bind(1, count.range.after)
        statement.bind(2, through)
        defer { statement.reset() }
        while try statement.step("counting messages") {
            work.rows += 1
            count.add(statement.int(1), messages: 1, lastSeq: statement.seq(0))
        }
        count.range.after = through
    }

    func status() throws(ApusError) -> LogStatus {
        let file = settings.file
        return try snapshot { snapshot in
            let first = try statements.bounds.first("reading the first message") { $0.seq(0) } ?? 0
            let names = try statements.log.first("reading the log's state") {
                (log: $0.text(3), topics: Int($0.int(4)), encodings: Int($0.int(5)), publishers: Int($0.int(6)))
            }
            guard let names else { throw damaged("the row of its state is gone") }
            var status = LogStatus(
                log: names.log, head: snapshot.head, first: first, topics: names.topics, encodings: names.encodings,
                publishers: names.publishers, fileBytes: FileSystem.bytes(of: file.path),
                walBytes: FileSystem.bytes(of: file.walPath), walUsedBytes: settings.shared.walBytes, path: file.path,
                sqliteVersion: String(cString: sqlite3_libversion()))
            let pages = try statements.freePages.first("reading the free pages") { Int($0.int(0)) } ?? 0
            status.freeBytes = pages * (try statements.pageSize.first("reading the page size") { Int($0.int(0)) } ?? 0)
            status.writer = settings.shared.figures
            return status
        }
    }
}
