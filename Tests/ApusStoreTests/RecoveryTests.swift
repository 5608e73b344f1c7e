import ApusBroker
import ApusModel
import ApusStore
import Foundation
import Testing

@Suite("After an unclean stop")
struct RecoveryTests {
    @Test("Everything committed is there, and no seq is handed out twice")
    func noSeqTwice() throws {
        let log = try TestLog()
        try log.store.publish("t", count: 10)
        let copy = try log.copyAsKilled()
        // What the killed broker handed out after the copy is what a power loss takes away.
        let lost = try log.store.publish("t", count: 5, level: .stored).batch?.messages.map(\.seq) ?? []
        let store = try TestLog.open(copy)
        #expect(try store.readAll().map(\.seq) == Array(1...10))
        #expect(store.head >= lost.max() ?? 0)
        let next = try #require(try store.publish("t", count: 1).batch)
        #expect(Set(lost).isDisjoint(with: next.messages.map(\.seq)))
        #expect(next.messages[0].seq > 15)
        #expect(next.after == next.messages[0].seq - 1)
        #expect(try store.readAll().count == 11)
        try store.close()
    }

    @Test("A clean stop in between gives no seq back that was handed out before the unclean one")
    func cleanAfterUnclean() throws {
        let log = try TestLog()
        try log.store.publish("t", count: 1)
        let copy = try log.copyAsKilled()
        let lost = try #require(try log.store.publish("t", count: 5).batch).through
        try TestLog.open(copy).close()
        let store = try TestLog.open(copy)
        #expect(try #require(try store.publish("t", count: 1).batch).messages[0].seq > lost)
        try store.close()
    }

    @Test("After a clean stop the seqs go on without a hole")
    func cleanStop() throws {
        let log = try TestLog()
        for seq in 1...5 {
            #expect(try log.store.publish("t", count: 1).batch?.through == Seq(seq))
            try log.reopen()
        }
    }

    @Test("Closing leaves one file, without a write-ahead log")
    func oneFile() throws {
        let log = try TestLog()
        try log.store.publish("t", count: 3)
        try log.store.close()
        let names = try FileManager.default.contentsOfDirectory(atPath: log.directory.url.path)
        #expect(names.sorted() == ["apus.db", "apus.db.lock"])
    }

    @Test("What only the page cache had is on the disk before the first answer")
    func syncedBeforeAnswers() throws {
        let log = try TestLog()
        let publisher = try log.store.openPublisher("p").handle
        try log.store.publish([Draft("t", level: .stored, id: 1)], publisher: publisher)
        let path = try log.copyAsKilled()
        let disk = FaultyDisk.watch(path)
        let store = try TestLog.open(path)
        // The write-ahead log first, then the file that it was copied into.
        #expect(disk.count(.sync, .wal) >= 1)
        #expect(disk.count(.sync, .database) >= 1)
        let size = try FileManager.default.attributesOfItem(atPath: path + "-wal")[.size] as? Int
        #expect(size == 0)
        let again = try store.openPublisher("p")
        #expect(again.lastID == 1)
        let outcome = try store.publish([Draft("t", id: 1)], publisher: again.handle)
        #expect(outcome.runs.first?.isDuplicate == true)
        try store.close()
    }

    @Test("If that sync fails, the log does not open")
    func syncFailsAtOpening() throws {
        let log = try TestLog()
        try log.store.publish("t", count: 1, level: .stored)
        let path = try log.copyAsKilled()
        let disk = FaultyDisk.watch(path)
        disk.fail(.sync, .wal, .init(code: Code.fsync))
        #expect(throws: ApusError.self) { try TestLog.open(path) }
    }

    @Test("A log that is killed again and again keeps every message and its order")
    func manyKills() throws {
        let log = try TestLog()
        var path = log.path
        var store = log.store
        var expected: [Seq] = []
        for round in 0..<5 {
            let batch = try #require(try store.publish("t\(round)", count: 3).batch)
            #expect(batch.after == batch.messages[0].seq - 1)
            expected += batch.messages.map(\.seq)
            let next = log.directory.path("round-\(round).db")
            try FileManager.default.copyItem(atPath: path, toPath: next)
            try FileManager.default.copyItem(atPath: path + "-wal", toPath: next + "-wal")
            path = next
            store = try TestLog.open(path)
        }
        #expect(expected == expected.sorted() && Set(expected).count == 15)
        #expect(try store.readAll().map(\.seq) == expected)
        #expect(try store.readAll(filters("t3")).map(\.seq) == Array(expected[9..<12]))
        try store.close()
    }
}
