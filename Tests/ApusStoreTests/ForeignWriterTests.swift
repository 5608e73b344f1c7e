import ApusBroker
import ApusModel
import ApusStore
import ApusTesting
import Logging
import NIOConcurrencyHelpers
import Testing

@Suite("Another process at the file")
struct ForeignWriterTests {
    @Test("A lock held by another process is awaited, then refused with log-busy, and publishing goes on after it")
    func busy() throws {
        var limits = Limits.defaults
        limits.busyTimeoutSeconds = 0
        let log = try TestLog(limits: limits)
        try log.store.publish("t", count: 1)
        let publisher = try log.store.openPublisher("p").handle
        let shell = try Shell(log.path)
        try shell.run("BEGIN IMMEDIATE")
        let outcome = try log.store.publish([Draft(id: 1)], publisher: publisher)
        #expect(outcome.refusals.map(\.code) == [.logBusy])
        #expect(try log.store.readAll().count == 1)
        _ = try log.store.rest()
        try shell.run("ROLLBACK")
        #expect(try log.store.publish([Draft(id: 2)], publisher: publisher).batch == nil)
        #expect(try log.store.publish("t", count: 1).batch?.through == 2)
    }

    @Test("How often and how long commits waited for a lock is counted")
    func waits() throws {
        let log = try TestLog()
        let store = log.store
        try store.publish("t", count: 1)
        #expect(try store.status().writer.busyWaits == 0)
        let shell = try Shell(log.path)
        try shell.run("BEGIN IMMEDIATE")
        let publishing = BackgroundThread { try store.publish("t", count: 1) }
        let deadline = ContinuousClock.now + .seconds(patienceSeconds)
        while try store.status().writer.busyWaits == 0, ContinuousClock.now < deadline {}
        try shell.run("ROLLBACK")
        try publishing.join()
        let figures = try store.status().writer
        #expect(figures.busyWaits == 1)
        #expect(figures.busyMicroseconds >= 1_000 && figures.busyMicroseconds < Int64(patienceSeconds) * 1_000_000)
        #expect(store.head == 2)
    }

    @Test("What another process wrote is noticed, logged, and read again")
    func foreignWrite() throws {
        let directory = try TestDirectory()
        let path = directory.path("apus.db")
        let lines = RecordingLog(level: .trace)
        let store = try TestLog.open(path, logger: lines.logger)
        try store.publish([Draft("t"), Draft("u")])
        #expect(!lines.lines.contains { $0.contains("another process has written") })
        let shell = try Shell(path)
        // The name that the writer remembers goes away; the id with it.
        try shell.run("DELETE FROM message WHERE topic = 2")
        try shell.run("DELETE FROM topic WHERE name = 'u'")
        try shell.run(
            """
            INSERT INTO message SELECT 60, topic, encoding, received_at, null, null, null, null, null, 0, payload
            FROM message
            """)
        let outcome = try store.publish([Draft("u", "again")])
        #expect(lines.lines.contains { $0.contains("another process has written") })
        let batch = try #require(outcome.batch)
        // Behind the foreign row, and saying so.
        #expect(batch.after == 60 && batch.messages[0].seq == 61)
        let page = try store.page(
            PageRequest(filters: .all, after: 60, through: store.head, bytesMax: 1 << 20, countMax: 10))
        #expect(page.rows.map(\.topic) == ["u"])
        #expect(try store.status().topics == 2)
        let count = lines.lines.count
        try store.publish("u", count: 1)
        #expect(lines.lines.count == count)
        try store.close()
    }

    @Test("Checkpoints of its own are not mistaken for a foreign write")
    func ownCheckpoints() throws {
        let directory = try TestDirectory()
        let lines = RecordingLog(level: .trace)
        var limits = Limits.defaults
        limits.walCheckpointBytes = 65_536
        let store = try TestLog.open(directory.path("apus.db"), limits, logger: lines.logger)
        for _ in 0..<20 {
            try store.publish("t", count: 1_000)
            _ = try store.rest()
            #expect(try store.readAll(after: store.head - 10).count == 10)
        }
        #expect(lines.lines.isEmpty)
        try store.close()
    }
}

@Suite("The write-ahead log's size")
struct WALTests {
    private func smallLimits() -> Limits {
        var limits = Limits.defaults
        limits.walCheckpointBytes = 131_072
        limits.walPauseBytes = 524_288
        limits.walBytesMax = 1_048_576
        return limits
    }

    @Test("It stays small however much is published, also while own readers read all the time")
    func staysSmall() throws {
        let log = try TestLog(limits: smallLimits())
        let store = log.store
        let stop = NIOLockedValueBox(false)
        let readers = (0..<2).map { _ in
            BackgroundThread {
                var position: Seq = 0
                while !stop.withLockedValue({ $0 }) {
                    let page = try store.page(
                        PageRequest(filters: .all, after: position, through: .max, bytesMax: 65_536, countMax: 500))
                    position = page.through == position ? 0 : page.through
                }
            }
        }
        var largest = 0
        for _ in 0..<100 {
            #expect(try store.publish("t", count: 500).batch != nil)
            _ = try store.rest()
            largest = max(largest, try store.status().walBytes)
        }
        stop.withLockedValue { $0 = true }
        for reader in readers { try reader.join() }
        #expect(largest < 1_048_576)
    }

    @Test("A foreign reader that pins it: publishes are refused beyond the limit, and go on when it ends")
    func foreignReader() throws {
        let log = try TestLog(limits: smallLimits())
        try log.store.publish("t", count: 1)
        let shell = try Shell(log.path, isReadOnly: true)
        try shell.run("BEGIN")
        try shell.run("SELECT count(*) FROM message")
        var refused: ApusError?
        for _ in 0..<100 where refused == nil {
            refused = try log.store.publish("t", count: 500).refusals.first
            _ = try log.store.rest()
        }
        #expect(refused?.code == .storageFull)
        #expect(refused?.message.contains("wal-limit") == true)
        let pinned = try log.store.status().writer
        #expect(pinned.pinnedSince == log.clock.now && pinned.checkpointedAt == log.clock.now)
        log.clock.advance(seconds: 60)
        #expect(try log.store.rest() != nil)
        try shell.run("COMMIT")
        log.monotonic.advance(seconds: 0.1)
        _ = try log.store.rest()
        #expect(try log.store.publish("t", count: 1).refusals.isEmpty)
        #expect(try log.store.status().head > 500)
        #expect(try log.store.status().writer.pinnedSince == nil)
        #expect(try log.store.status().writer.checkpointedAt == log.clock.now)
    }

    @Test("Beyond wal-pause it is tried from time to time to start it anew, also while nobody publishes")
    func releasedReader() throws {
        let log = try TestLog(limits: smallLimits())
        let shell = try Shell(log.path, isReadOnly: true)
        try shell.run("BEGIN")
        try shell.run("SELECT count(*) FROM message")
        for _ in 0..<100 where try log.store.status().writer.pinnedSince == nil {
            try log.store.publish("t", count: 200)
            _ = try log.store.rest()
        }
        #expect(try log.store.status().writer.pinnedSince != nil)
        try shell.run("COMMIT")
        #expect(try log.store.rest() ?? .max <= 10_000_000)
        log.monotonic.advance(seconds: 10)
        _ = try log.store.rest()
        #expect(try log.store.status().writer.pinnedSince == nil)
    }
}
