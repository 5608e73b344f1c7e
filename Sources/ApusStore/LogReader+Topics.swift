internal import ApusBroker
internal import ApusModel
internal import GRDBSQLite

extension LogReader {
    /// Topics looked at in one call.
    private static let examinedTopicsMax = 16_384
    /// Segments whose lists are counted in one read transaction.
    private static let segmentsPerTransaction: UInt64 = 128

    /// The topics that match, in the order of their ids.
    func topics(_ filters: FilterSet, afterID: Int64, countMax: Int) throws(ApusError) -> TopicPage {
        let found = try snapshot { _ in try names(filters, afterID: afterID, countMax: max(1, countMax)) }
        guard let low = found.topics.first?.id, let high = found.topics.last?.id else {
            return TopicPage(rows: [], next: found.next)
        }
        var counts = TopicCounts(found.topics.map(\.id))
        var segment = try snapshot { Segment(of: $0.trimmedThrough + 1) }
        while true {
            let next = try snapshot { snapshot in
                try count(&counts, low...high, from: segment, snapshot)
            }
            guard let next else { break }
            segment = next
        }
        let rows = found.topics.map { topic in
            let count = counts[topic.id]
            return TopicRow(topic: topic.name, messages: count.messages, lastSeq: count.lastSeq)
        }
        return TopicPage(rows: rows, next: found.next)
    }

    private func names(
        _ filters: FilterSet, afterID: Int64, countMax: Int
    ) throws -> (topics: [(id: Int64, name: String)], next: Int64?) {
        let statement = try statements.topicsAfter
        statement.bind(1, afterID)
        statement.bind(2, Int64(LogReader.examinedTopicsMax))
        defer { statement.reset() }
        var topics: [(id: Int64, name: String)] = []
        var examined = 0
        var last = afterID
        while try statement.step("reading topics") {
            examined += 1
            last = statement.int(0)
            let bytes = Array(statement.bytes(1))
            guard filters.isEverything || filters.filters.contains(where: { $0.matches(bytes) }) else { continue }
            topics.append((last, String(decoding: bytes, as: UTF8.self)))
            if topics.count >= countMax { return (topics, last) }
        }
        return (topics, examined == LogReader.examinedTopicsMax ? last : nil)
    }

    /// Adds up what a few segments say, or what stands above the sealed ones.
    /// - Returns: where the next transaction goes on; nil at the end.
    private func count(
        _ counts: inout TopicCounts, _ ids: ClosedRange<Int64>, from segment: Segment, _ snapshot: Snapshot
    ) throws -> Segment? {
        guard segment.last <= snapshot.sealedThrough else {
            try countRows(&counts, after: max(segment.first, 1) - 1, through: snapshot.head)
            return nil
        }
        let end = min(segment.number + LogReader.segmentsPerTransaction, snapshot.sealedThrough / Segment.seqs + 1)
        for number in segment.number..<max(end, segment.number + 1) {
            let statement = try statements.postingRange
            statement.bind(1, number)
            statement.bind(2, ids.lowerBound)
            statement.bind(3, ids.upperBound)
            defer { statement.reset() }
            while try statement.step("counting messages") {
                let topic = statement.int(1)
                guard counts.isWanted(topic) else { continue }
                let bytes = statement.bytes(2)
                guard let last = PostingList.last(bytes, segment: Segment(number: number)) else {
                    throw damaged("the posting list of topic \(topic) in segment \(number)")
                }
                counts.add(topic, messages: UInt64(PostingList.count(bytes)), lastSeq: last)
            }
        }
        return Segment(number: max(end, segment.number + 1))
    }

    private func countRows(_ counts: inout TopicCounts, after: Seq, through: Seq) throws {
        let statement = try statements.unsealedTopics
        statement.bind(1, after)
        statement.bind(2, through)
        defer { statement.reset() }
        while try statement.step("counting messages") {
            counts.add(statement.int(1), messages: 1, lastSeq: statement.seq(0))
        }
    }

    func status() throws(ApusError) -> LogStatus {
        let file = settings.file
        return try snapshot { snapshot in
            let first = try statements.bounds.first("reading the first message") { $0.seq(0) } ?? 0
            let names = try statements.log.first("reading the log's state") {
                (log: $0.text(3), topics: Int($0.int(4)), encodings: Int($0.int(5)), publishers: Int($0.int(6)))
            }
            guard let names else { throw damaged("the row of its state is gone") }
            return LogStatus(
                log: names.log, head: snapshot.head, first: first, topics: names.topics, encodings: names.encodings,
                publishers: names.publishers, fileBytes: FileSystem.bytes(of: file.path),
                walBytes: FileSystem.bytes(of: file.walPath), walUsedBytes: settings.shared.walBytes, path: file.path,
                sqliteVersion: String(cString: sqlite3_libversion()))
        }
    }
}

/// Messages by topic, of some topics.
private struct TopicCounts {
    private var counts: [Int64: (messages: UInt64, lastSeq: Seq)] = [:]

    init(_ ids: [Int64]) {
        for id in ids { counts[id] = (0, 0) }
    }

    func isWanted(_ id: Int64) -> Bool { counts[id] != nil }

    mutating func add(_ id: Int64, messages: UInt64, lastSeq: Seq) {
        guard let known = counts[id] else { return }
        counts[id] = (known.messages + messages, max(known.lastSeq, lastSeq))
    }

    subscript(id: Int64) -> (messages: UInt64, lastSeq: Seq) { counts[id] ?? (0, 0) }
}
