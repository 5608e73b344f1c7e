import ApusBroker
import ApusModel
import ApusStore
import Foundation
import GRDBSQLite
import Testing

@Suite("When the disk fails")
struct FailureTests {
    @Test("A full disk refuses the batch, and the log goes on when there is room again")
    func fullDisk() throws {
        let log = try TestLog()
        try log.store.publish("t", count: 1)
        log.disk.fail(.write, .wal, .init(code: Code.full))
        let outcome = try log.store.publish([Draft("t"), Draft("new")])
        #expect(outcome.batch == nil)
        #expect(outcome.refusals.map(\.code) == [.storageFull])
        #expect(log.store.head == 1)
        #expect(try log.store.readAll().count == 1)
        log.disk.heal()
        #expect(try log.store.publish([Draft("t"), Draft("new")]).batch?.through == 3)
        #expect(try log.store.readAll().map(\.topic) == ["t", "t", "new"])
    }

    @Test("Closing on a full disk is no failure: what was acknowledged is there, and no seq is used again")
    func closingOnFullDisk() throws {
        let log = try TestLog()
        try log.store.publish("t", count: 3)
        log.disk.fail(.write, .wal, .init(code: Code.full))
        log.disk.fail(.write, .database, .init(code: Code.full))
        try log.store.close()
        log.disk.heal()
        let store = try TestLog.open(log.path)
        #expect(try store.readAll().count == 3)
        #expect(store.head > 3, "not closed cleanly: what was reserved is left out")
        try store.close()
    }

    @Test("A full disk on which copying the write-ahead log makes room is closed cleanly")
    func closingMakesRoom() throws {
        let log = try TestLog()
        try log.store.publish("t", count: 3)
        log.disk.fail(.write, .wal, .init(code: Code.full, count: 1))
        try log.store.close()
        log.disk.heal()
        let store = try TestLog.open(log.path)
        #expect(store.head == 3)
        #expect(try store.readAll().count == 3)
        try store.close()
    }

    @Test("A quota that is used up is a full disk too")
    func quota() throws {
        let log = try TestLog()
        try log.store.publish("t", count: 1)
        log.disk.fail(.write, .wal, .init(code: Code.write, systemError: EDQUOT))
        #expect(try log.store.publish("t", count: 1).refusals.map(\.code) == [.storageFull])
        log.disk.heal()
        #expect(try log.store.publish("t", count: 1).batch?.through == 2)
    }

    @Test("Names that a refused batch brought are not remembered: they do not exist")
    func namesOfRefusedBatch() throws {
        let log = try TestLog()
        try log.store.publish("t", count: 1)
        let encoding = try Encoding(contentType: "text/x")
        log.disk.fail(.write, .wal, .init(code: Code.full))
        #expect(try log.store.publish([Draft("new", encoding: encoding)]).batch == nil)
        log.disk.heal()
        try log.store.publish([Draft("other", encoding: try Encoding(contentType: "text/y"))])
        try log.store.publish([Draft("new", encoding: encoding)])
        let rows = try log.store.readAll()
        #expect(rows.map(\.topic) == ["t", "other", "new"])
        #expect(rows.map(\.encoding.contentType) == [nil, "text/y", "text/x"])
        #expect(try log.store.status().topics == 3)
        #expect(try log.store.status().encodings == 3)
        try log.reopen()
        #expect(try log.store.readAll() == rows)
    }

    @Test("Half a batch on the disk is no batch", arguments: [0, 1, 2, 3])
    func partialWrite(after: Int) throws {
        let log = try TestLog()
        try log.store.publish("t", count: 1)
        log.disk.fail(.write, .wal, .init(code: Code.full, after: after, isPartial: true))
        let outcome = try log.store.publish("t", count: 500)
        #expect(outcome.refusals.map(\.code) == [.storageFull])
        let killed = try TestLog.open(try log.copyAsKilled())
        #expect(try killed.readAll().count == 1)
        try killed.close()
        log.disk.heal()
        try log.store.publish("t", count: 2)
        #expect(try log.store.readAll().count == 3)
    }

    @Test("A failing fsync: nothing is acknowledged, and the store refuses everything from then on")
    func failingSync() throws {
        let log = try TestLog()
        try log.store.publish("t", count: 1)
        log.disk.fail(.sync, .wal, .init(code: Code.fsync))
        let error = #expect(throws: ApusError.self) { try log.store.publish("t", count: 1) }
        #expect(error?.code == .commitUnknown && error?.isFatal == true)
        log.disk.heal()
        #expect(throws: ApusError.self) { try log.store.publish("t", count: 1) }
        #expect(throws: ApusError.self) { try log.store.rest() }
        #expect(throws: ApusError.self) { try log.store.readAll() }
        try log.store.close()
        // Closing wrote nothing more; the next start says what is there.
        let store = try TestLog.open(log.path)
        #expect(store.head >= 2)
        #expect(try store.publish("t", count: 1).batch != nil)
        try store.close()
    }

    @Test("A write error other than a full disk is an unknown outcome")
    func failingWrite() throws {
        let log = try TestLog()
        try log.store.publish("t", count: 1)
        log.disk.fail(.write, .wal, .init(code: Code.write, isPartial: true))
        let error = #expect(throws: ApusError.self) { try log.store.publish("t", count: 1) }
        #expect(error?.code == .commitUnknown)
    }

    @Test("A failing sync in a checkpoint stops the store, a full disk there does not")
    func failingCheckpoint() throws {
        var limits = Limits.defaults
        limits.walCheckpointBytes = 65_536
        let log = try TestLog(limits: limits)
        try log.store.publish("t", count: 2_000)
        log.disk.fail(.write, .database, .init(code: Code.full))
        _ = try log.store.rest()
        try log.store.publish("t", count: 2_000)
        log.disk.heal()
        log.disk.fail(.sync, .database, .init(code: Code.fsync))
        let error = #expect(throws: ApusError.self) { try log.store.rest() }
        #expect(error?.code == .commitUnknown)
    }

    @Test("A write-ahead log that somebody removed is noticed before anything is acknowledged")
    func removedLog() throws {
        let log = try TestLog()
        try log.store.publish("t", count: 1)
        try FileManager.default.removeItem(atPath: log.path + "-wal")
        let error = #expect(throws: ApusError.self) { try log.store.publish("t", count: 1) }
        #expect(error?.code == .commitUnknown)
        #expect(throws: ApusError.self) { try log.store.publish("t", count: 1) }
    }

    @Test("A file that somebody replaced is noticed too")
    func replacedFile() throws {
        let log = try TestLog()
        try log.store.publish("t", count: 1)
        try FileManager.default.moveItem(atPath: log.path, toPath: log.path + ".old")
        #expect(FileManager.default.createFile(atPath: log.path, contents: Data()))
        let error = #expect(throws: ApusError.self) { try log.store.publish("t", count: 1) }
        #expect(error?.code == .commitUnknown)
    }

    @Test("A flipped byte is not delivered: the page names the message")
    func flippedByte() throws {
        let log = try TestLog()
        try log.store.publish("t", count: 3)
        try log.store.close()
        let other = try Shell(log.path)
        try other.run("UPDATE message SET payload = CAST('payload 9' AS BLOB) WHERE seq = 2")
        other.close()
        let store = try TestLog.open(log.path)
        let error = #expect(throws: ApusError.self) { try store.readAll() }
        #expect(error?.code == .logDamaged)
        #expect(error?.message.contains("message 2") == true)
        try store.close()
    }

    @Test(
        "Nor is a message under a name that was changed in the file",
        arguments: [
            "UPDATE topic SET name = 'tt'", "UPDATE encoding SET charset = 'utf-8'",
            "UPDATE message SET received_at = received_at + 1", "UPDATE message SET key = 'k'",
            "UPDATE message SET headers = '{}'", "UPDATE message SET seq = seq + 100",
        ])
    func changedMeaning(sql: String) throws {
        let log = try TestLog()
        try log.store.publish("t", count: 1)
        // Behind what is changed, so that the log's end stays where it is.
        try log.store.publish("other", count: 200)
        try log.store.close()
        let other = try Shell(log.path)
        try other.run(sql.contains("message") ? sql + " WHERE seq = 201" : sql + " WHERE id = 1")
        other.close()
        let store = try TestLog.open(log.path)
        let error = #expect(throws: ApusError.self) { try store.readAll() }
        #expect(error?.code == .logDamaged)
        try store.close()
    }
}
