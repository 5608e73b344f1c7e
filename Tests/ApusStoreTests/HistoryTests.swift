import ApusBroker
import ApusModel
import ApusStore
import ApusTesting
import Testing

@Suite("Queries on the history")
struct HistoryTests {
    private func query(_ store: any LogQueries, countMax: Int = 3, _ change: (inout HistorySelection) throws -> Void)
        throws -> [Row]
    {
        var selection = HistorySelection()
        try change(&selection)
        let bounds = try store.bounds(selection)
        var rows: [Row] = []
        var position = bounds.after
        while position < bounds.through {
            let page = try store.history(
                HistoryRequest(
                    selection: selection, after: position, through: bounds.through, bytesMax: 1 << 20,
                    countMax: countMax))
            guard page.through > position else { throw Unexpected(page) }
            rows += page.rows
            position = page.through
        }
        return rows
    }

    private func sample() throws -> TestLog {
        let log = try TestLog()
        let text = try Encoding(contentType: "Text/Plain; charset=utf-8")
        let json = try Encoding(contentType: "application/json")
        try log.store.publish([
            Draft("a/1", "hello world", headers: #"{"x":"1","y":"2"}"#, encoding: text),
            Draft("a/2", #"{"n":1}"#, headers: #"[["x","1"],["x","2"]]"#, encoding: json),
            Draft("b/1", "aaaaaab"),
        ])
        log.clock.advance(seconds: 10)
        let handle = try log.store.openPublisher("meter").handle
        try log.store.publish([Draft("a/1", "goodbye world", id: 1, encoding: text)], publisher: handle)
        log.clock.advance(seconds: 10)
        try log.store.publish([Draft("b/2", "last")])
        return log
    }

    @Test("Each condition selects, and all together")
    func conditions() throws {
        let log = try sample()
        let store = log.store
        let start = log.clock.now - 20_000_000
        #expect(try query(store) { _ in }.map(\.seq) == [1, 2, 3, 4, 5])
        #expect(try query(store) { $0.filters = try filters("a/#") }.map(\.seq) == [1, 2, 4])
        #expect(
            try query(store) {
                $0.conditions.fromSeq = 2
                $0.conditions.toSeq = 4
            }.map(\.seq) == [2, 3, 4])
        #expect(try query(store) { $0.conditions.since = start + 10_000_000 }.map(\.seq) == [4, 5])
        #expect(try query(store) { $0.conditions.until = start + 10_000_000 }.map(\.seq) == [1, 2, 3])
        #expect(try query(store) { $0.conditions.contentType = "text/plain" }.map(\.seq) == [1, 4])
        #expect(try query(store) { $0.conditions.contentType = "Text/Plain; charset=utf-8" }.map(\.seq) == [1, 4])
        #expect(try query(store) { $0.conditions.headers = ["x": "1"] }.map(\.seq) == [1, 2])
        #expect(try query(store) { $0.conditions.headers = ["x": "1", "x": "2"] }.map(\.seq) == [2])
        #expect(try query(store) { $0.conditions.grep = "world" }.map(\.seq) == [1, 4])
        #expect(try query(store) { $0.conditions.grep = "aaab" }.map(\.seq) == [3])
        #expect(try query(store) { $0.conditions.publisher = "meter" }.map(\.seq) == [4])
        #expect(try query(store) { $0.conditions.publisher = "nobody" }.isEmpty)
        #expect(try query(store) { $0.conditions.last = 2 }.map(\.seq) == [4, 5])
        #expect(
            try query(store) {
                $0.conditions.last = 1
                $0.conditions.grep = "world"
            }.map(\.seq) == [4])
        #expect(
            try query(store) {
                $0.conditions.last = 2
                $0.conditions.toSeq = 3
            }.map(\.seq) == [2, 3])
        #expect(
            try query(store) {
                $0.conditions.last = 9
                $0.filters = try filters("a/+")
            }.map(\.seq) == [1, 2, 4])
        #expect(
            try query(store) {
                $0.filters = try filters("a/1")
                $0.conditions.grep = "world"
                $0.conditions.until = start + 10_000_000
            }.map(\.seq) == [1])
    }

    @Test("Seqs that contradict each other select nothing")
    func emptyRange() throws {
        let log = try sample()
        #expect(
            try query(log.store) {
                $0.conditions.fromSeq = 4
                $0.conditions.toSeq = 2
            }.isEmpty)
        #expect(try query(log.store) { $0.conditions.fromSeq = 400 }.isEmpty)
        #expect(try query(log.store) { $0.conditions.last = 0 }.isEmpty)
    }

    @Test("A long search returns from time to time, with no row but further on")
    func boundedWork() throws {
        let log = try TestLog()
        for _ in 0..<9 { try log.store.publish("t", count: 2_000, level: .stored) }
        var selection = HistorySelection()
        selection.conditions.grep = "not there"
        let page = try log.store.history(
            HistoryRequest(selection: selection, after: 0, through: 18_000, bytesMax: 1 << 20, countMax: 10))
        #expect(page.messages.isEmpty && page.through < 18_000 && page.through > 0)
        #expect(try query(log.store) { $0.conditions.grep = "not there" }.isEmpty)
        #expect(try query(log.store, countMax: 100) { $0.conditions.grep = "payload 1999" }.count == 9)
    }

    @Test("topics counts messages and knows the last seq, sealed or not, page by page")
    func topics() throws {
        let log = try TestLog()
        for round in 0..<10 {
            try log.store.publish((0..<2_000).map { Draft("t/\($0 % 10)", "\(round)", level: .stored) })
        }
        try log.store.publish([Draft("rare")])
        var rows: [TopicRow] = []
        var after: Int64? = 0
        while let id = after {
            let page = try log.store.topics(.all, afterID: id, countMax: 4)
            rows += page.rows
            after = page.next
        }
        #expect(rows.count == 11)
        #expect(rows.dropLast().allSatisfy { $0.messages == 2_000 })
        #expect(rows[3] == TopicRow(topic: "t/3", messages: 2_000, lastSeq: 19_994))
        #expect(rows[10] == TopicRow(topic: "rare", messages: 1, lastSeq: 20_001))
        #expect(try log.store.topics(filters("+/5"), afterID: 0, countMax: 10).rows.map(\.topic) == ["t/5"])
        #expect(try log.store.topics(filters("x"), afterID: 0, countMax: 10).next == nil)
    }

    @Test("The status says how much of the file is free for new messages")
    func freeBytes() throws {
        let log = try TestLog()
        try log.store.publish([Draft("t", String(repeating: "x", count: 1 << 20)), Draft("t")])
        #expect(try log.store.status().freeBytes == 0)
        try log.store.close()
        let shell = try Shell(log.path)
        try shell.run("DELETE FROM message WHERE seq = 1")
        shell.close()
        let store = try TestLog.open(log.path)
        #expect(try store.status().freeBytes >= 1 << 20)
        try store.close()
    }

    @Test("The views can be read with any SQLite while the broker runs")
    func views() throws {
        let log = try TestLog()
        let encoding = try Encoding(contentType: "text/plain; charset=utf-8", byteOrder: "big")
        try log.store.publish([
            Draft("t", "grüezi", headers: #"{"a":"b"}"#, encoding: encoding),
            Draft("t", "raw", encoding: try Encoding(contentType: "text/plain")),
            Draft("t", "gz", encoding: try Encoding(charset: "utf-8", contentEncoding: "gzip")),
        ])
        let shell = try Shell(log.path, isReadOnly: true)
        let columns =
            "seq, time, topic, content_type, charset, content_encoding, byte_order, publisher, headers, size, text"
        let rows = try shell.run("SELECT \(columns) FROM history ORDER BY seq")
        #expect(
            rows[0] == [
                "1", "2023-11-14T22:13:20.000000Z", "t", "text/plain; charset=utf-8", nil, nil, "big", nil,
                #"{"a":"b"}"#, "7", "grüezi",
            ])
        #expect(rows[1][10] == nil && rows[2][10] == nil)
        #expect(rows[2][5] == "gzip")
        #expect(try shell.run("SELECT headers ->> 'a' FROM history WHERE seq = 1") == [["b"]])
        #expect(try shell.run("SELECT * FROM topics") == [["t", "3", "3", "2023-11-14T22:13:20.000000Z"]])
        #expect(try shell.run("SELECT * FROM drops").isEmpty)
        let names = try shell.run("SELECT name FROM pragma_table_info('history')").map { $0[0] ?? "" }
        #expect(names == columns.split(separator: ", ").map(String.init) + ["payload"])
    }
}

@Suite("Limits of the log")
struct LogLimitTests {
    @Test("Names beyond the limits are refused, known ones go on, and the count survives a restart")
    func names() throws {
        var limits = Limits.defaults
        limits.topicsMax = 2
        limits.encodingsMax = 2
        let log = try TestLog(limits: limits)
        let json = try Encoding(contentType: "application/json")
        let xml = try Encoding(contentType: "application/xml")
        try log.store.publish([Draft("a"), Draft("b", encoding: json)])
        for _ in 0..<2 {
            let outcome = try log.store.publish([Draft("c"), Draft("a"), Draft("b", encoding: xml)])
            #expect(outcome.refusals.map(\.code) == [.tooMany, .tooMany])
            #expect(outcome.refusals[0].message.contains("max-topics"))
            #expect(outcome.refusals[1].message.contains("max-encodings"))
            #expect(outcome.batch?.messages.count == 1)
            try log.reopen()
        }
    }

    @Test("More names than the caches hold are looked up in the file")
    func cache() throws {
        var limits = Limits.defaults
        limits.nameCacheEntries = 16
        let log = try TestLog(limits: limits)
        for _ in 0..<3 { try log.store.publish((0..<100).map { Draft("t/\($0)", "\($0)", level: .stored) }) }
        #expect(try log.store.status().topics == 100)
        #expect(try log.store.readAll().allSatisfy { $0.topic == "t/\($0.payload)" })
        #expect(try log.store.readAll(filters("t/57")).count == 3)
    }

    @Test("A submission that points outside of itself is refused, not read")
    func outOfBounds() throws {
        let log = try TestLog()
        guard case .publish(var bad) = try submission([Draft("t")]) else { return }
        bad.messages[0].payload = Slice(offset: 0, length: 1_000)
        #expect(try log.store.append([.publish(bad)]).refusals.map(\.code) == [.internalError])
        bad.messages[0].payload = .empty
        bad.messages[0].topic = 9
        #expect(try log.store.append([.publish(bad)]).refusals.map(\.code) == [.internalError])
    }
}
