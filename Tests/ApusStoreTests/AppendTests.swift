import ApusBroker
import ApusModel
import ApusStore
import Testing

@Suite("What the store does with a batch")
struct AppendTests {
    @Test("A message comes back as it was published, also after closing and opening")
    func roundTrip() throws {
        let log = try TestLog()
        let encoding = try Encoding(contentType: "text/plain", charset: "utf-8", byteOrder: "big", format: ">i")
        let draft = Draft(
            "plant/1", "grüezi", headers: #"{"a":"1"}"#, key: "k", encoding: encoding)
        let outcome = try log.store.publish([draft, Draft("other", "")])
        #expect(outcome.runs == [PublishedRun(lastID: nil, count: 2, lastSeq: 2, level: .synced)])
        let batch = try #require(outcome.batch)
        #expect(batch.after == 0 && batch.through == 2)
        let expected = [
            Row(
                seq: 1, time: log.clock.now, topic: "plant/1", payload: "grüezi", headers: #"{"a":"1"}"#, key: "k",
                encoding: encoding, publisher: nil),
            Row(
                seq: 2, time: log.clock.now, topic: "other", payload: "", headers: "", key: "",
                encoding: .undeclared, publisher: nil),
        ]
        #expect(batch.rows == expected)
        #expect(try log.store.readAll() == expected)
        try log.reopen()
        #expect(try log.store.readAll() == expected)
        #expect(log.store.head == 2)
    }

    @Test("Several submissions in one commit share names and keep their arenas apart")
    func severalSubmissions() throws {
        let log = try TestLog()
        let items = try (0..<3).map { try submission([Draft("t", "p\($0)"), Draft("t\($0)", "q\($0)")]) }
        let outcome = try log.store.append(items)
        let batch = try #require(outcome.batch)
        #expect(batch.topics.map(\.name) == ["t", "t0", "t1", "t2"])
        #expect(batch.arenas.count == 3)
        #expect(batch.rows.map(\.payload) == ["p0", "q0", "p1", "q1", "p2", "q2"])
        #expect(try log.store.readAll() == batch.rows)
    }

    @Test("Times never fall, whatever the clock does")
    func monotoneTimes() throws {
        let log = try TestLog()
        try log.store.publish("t", count: 1)
        log.clock.advance(seconds: -60)
        try log.store.publish("t", count: 1)
        try log.reopen()
        try log.store.publish("t", count: 1)
        let times = try log.store.readAll().map(\.time)
        #expect(times == times.sorted())
        #expect(Set(times).count == 1)
    }

    @Test("status counts what is there")
    func status() throws {
        let log = try TestLog()
        try log.store.publish([Draft("a"), Draft("b"), Draft("a")])
        _ = try log.store.openPublisher("p")
        let status = try log.store.status()
        #expect(status.head == 3 && status.first == 1)
        #expect(status.topics == 2 && status.encodings == 1 && status.publishers == 1)
        #expect(status.log.count == 32)
    }
}
