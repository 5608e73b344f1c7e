import ApusBroker
import ApusModel
import ApusStore
import Testing

@Suite("When the log reaches the disk")
struct SyncTests {
    @Test("A synced batch costs one fsync of the write-ahead log, whatever its size")
    func syncedBatch() throws {
        let log = try TestLog()
        try log.store.publish("t", count: 1)
        for count in [1, 1, 100] {
            let before = log.disk.syncs
            let outcome = try log.store.publish("t", count: count)
            #expect(outcome.runs.map(\.level) == [.synced])
            #expect(log.disk.syncs == before + 1)
            #expect(outcome.syncNanoseconds ?? 0 > 0)
        }
    }

    @Test("A stored batch costs none, and says stored")
    func storedBatch() throws {
        let log = try TestLog()
        try log.store.publish("t", count: 1)
        let before = log.disk.syncs
        let outcome = try log.store.publish("t", count: 10, level: .stored)
        #expect(outcome.runs.map(\.level) == [.stored])
        #expect(log.disk.syncs == before)
        #expect(outcome.syncNanoseconds == nil)
    }

    @Test("One message that asks for synced takes its whole batch there")
    func mixedBatch() throws {
        let log = try TestLog()
        let outcome = try log.store.append([
            try submission([Draft("t", level: .stored)]), try submission([Draft("t", level: .synced)]),
        ])
        for case .publish(let answers) in outcome.answers {
            guard case .published(let run) = answers[0] else { throw Unexpected(answers) }
            #expect(run.level == .synced)
        }
    }

    @Test("A batch of duplicates alone is behind an fsync of its own")
    func duplicates() throws {
        let log = try TestLog()
        let publisher = try log.store.openPublisher("p").handle
        try log.store.publish([Draft("t", id: 1)], publisher: publisher)
        let before = log.disk.count(.sync, .wal)
        let outcome = try log.store.publish([Draft("t", id: 1)], publisher: publisher)
        #expect(
            outcome.runs == [PublishedRun(lastID: 1, count: 1, lastSeq: 0, level: .synced, isDuplicate: true)])
        #expect(outcome.batch == nil)
        #expect(log.disk.count(.sync, .wal) == before + 1)
    }

    @Test("Opening a publisher is behind an fsync, also the second time at the same moment")
    func openPublisher() throws {
        let log = try TestLog()
        // The first commit after the log was emptied also syncs its new header.
        try log.store.publish("t", count: 1)
        for _ in 0..<2 {
            let before = log.disk.count(.sync, .wal)
            _ = try log.store.openPublisher("p")
            #expect(log.disk.count(.sync, .wal) == before + 1)
        }
    }

    @Test("What was only stored is synced after the delay, and nothing is synced when nothing is due")
    func delayedSync() throws {
        let log = try TestLog()
        try log.store.publish("t", count: 1)
        #expect(try log.store.rest() == nil)
        try log.store.publish("t", count: 1, level: .stored)
        let before = log.disk.count(.sync, .wal)
        #expect(try log.store.rest() == 1_000_000)
        log.monotonic.advance(seconds: 0.4)
        try log.store.publish("t", count: 1, level: .stored)
        // The delay counts from the oldest message that is not synced.
        #expect(try log.store.rest() == 600_000)
        #expect(log.disk.count(.sync, .wal) == before)
        log.monotonic.advance(seconds: 0.6)
        #expect(try log.store.rest() == nil)
        #expect(log.disk.count(.sync, .wal) == before + 1)
        log.monotonic.advance(seconds: 10)
        #expect(try log.store.rest() == nil)
        #expect(log.disk.count(.sync, .wal) == before + 1)
    }

    @Test("A reservation rides in synced commits and costs no fsync more")
    func reservationIsFree() throws {
        let log = try TestLog()
        try log.store.publish("t", count: 1)
        let before = log.disk.syncs
        for _ in 0..<50 { try log.store.publish("t", count: 2_000) }
        #expect(log.disk.syncs == before + 50)
    }

    @Test("Stored batches alone raise the reservation in a synced commit before they use it")
    func reservationBeforeUse() throws {
        let log = try TestLog()
        try log.store.publish("t", count: 1)
        let before = log.disk.syncs
        for _ in 0..<35 { try log.store.publish("t", count: 2_000, level: .stored) }
        #expect(log.disk.syncs == before + 1)
        let copy = try TestLog.open(try log.copyAsKilled())
        #expect(copy.head >= 70_000)
        try copy.close()
    }
}
