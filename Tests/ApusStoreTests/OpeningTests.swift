import ApusBroker
import ApusMigrations
import ApusModel
import ApusStore
import ApusTesting
import Foundation
import Logging
import NIOConcurrencyHelpers
import Testing

@Suite("Opening a file")
struct OpeningTests {
    private func code(_ path: String) -> ApusError? {
        do {
            try TestLog.open(path).close()
            return nil
        } catch {
            return error as? ApusError
        }
    }

    @Test("A file that is something else is refused and left as it is")
    func foreignFiles() throws {
        let directory = try TestDirectory()
        let text = directory.path("text")
        try "hello, this is not a database at all".write(toFile: text, atomically: true, encoding: .utf8)
        #expect(code(text)?.code == .logForeign)
        #expect(try String(contentsOfFile: text, encoding: .utf8).hasPrefix("hello"))
        let other = directory.path("other.db")
        try Shell(other).run("CREATE TABLE t (a)")
        #expect(code(other)?.code == .logForeign)
        #expect(try Shell(other).run("PRAGMA journal_mode") == [["delete"]])
        #expect(code(directory.url.path)?.code == .logForeign)
    }

    @Test("A newer schema, and a log without its state, are refused")
    func newerAndDamaged() throws {
        let log = try TestLog()
        try log.store.publish("t", count: 1)
        try log.store.close()
        try Shell(log.path).run("PRAGMA user_version = 99")
        let newer = code(log.path)
        #expect(newer?.code == .logNewer && newer?.message.contains("99") == true)
        try Shell(log.path).run("PRAGMA user_version = -5")
        #expect(code(log.path)?.code == .logDamaged)
        try Shell(log.path).run("PRAGMA user_version = 1")
        try Shell(log.path).run("DELETE FROM log")
        #expect(code(log.path)?.code == .logDamaged)
    }

    @Test(
        "Numbers that no log has are damage, not a crash",
        arguments: [
            "UPDATE log SET reserved_through = 9223372036854775807", "UPDATE log SET reserved_through = -1",
            "UPDATE log SET trimmed_through = -1", "UPDATE log SET sealed_through = 9223372036854775807",
            "UPDATE message SET seq = 9223372036854775807", "UPDATE message SET seq = -9",
        ])
    func impossibleNumbers(sql: String) throws {
        let log = try TestLog()
        try log.store.publish("t", count: 1)
        try log.store.close()
        let shell = try Shell(log.path)
        try shell.run(sql)
        shell.close()
        #expect(code(log.path)?.code == .logDamaged)
    }

    @Test("Times and counts that no log has do no harm")
    func strangeNumbers() throws {
        let log = try TestLog()
        try log.store.publish("t", count: 1)
        try log.store.close()
        let shell = try Shell(log.path)
        try shell.run("UPDATE message SET received_at = 9223372036854775807")
        try shell.run("UPDATE log SET topics = 9223372036854775807, publishers = -5")
        shell.close()
        let store = try TestLog.open(log.path)
        #expect(try store.publish([Draft("t", ttl: 4_000_000_000)]).batch?.messages[0].expiresAt == .max)
        #expect(try store.publish([Draft("new")]).refusals.map(\.code) == [.tooMany])
        try store.close()
    }

    @Test("A file whose pages are overwritten is damaged")
    func overwrittenPages() throws {
        let log = try TestLog()
        try log.store.publish("t", count: 1_000)
        try log.store.close()
        let file = try #require(FileHandle(forUpdatingAtPath: log.path))
        try file.seek(toOffset: 100)
        try file.write(contentsOf: Data(repeating: 0xA5, count: 8_000))
        try file.close()
        #expect(code(log.path)?.code == .logDamaged)
    }

    @Test("A log belongs to one broker; the error names its process; another name of the file does not help")
    func locked() throws {
        let log = try TestLog()
        let second = code(log.path)
        #expect(second?.code == .logLocked)
        #expect(second?.message.contains("\(ProcessInfo.processInfo.processIdentifier)") == true)
        let link = log.directory.path("link.db")
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: log.path)
        #expect(code(link)?.code == .logLocked)
        try log.store.close()
        #expect(code(link) == nil)
    }

    @Test("A link to a file that does not exist yet creates it where the link points")
    func danglingLink() throws {
        let directory = try TestDirectory()
        try FileManager.default.createSymbolicLink(
            atPath: directory.path("link.db"), withDestinationPath: "real.db")
        #expect(code(directory.path("link.db")) == nil)
        #expect(FileManager.default.fileExists(atPath: directory.path("real.db")))
    }

    @Test("An empty file, and one whose creation was interrupted, become a log")
    func blankFiles() throws {
        let directory = try TestDirectory()
        let empty = directory.path("empty.db")
        #expect(FileManager.default.createFile(atPath: empty, contents: Data()))
        #expect(code(empty) == nil)
        let begun = directory.path("begun.db")
        let shell = try Shell(begun)
        try shell.run("PRAGMA application_id = \(Schema.applicationID)")
        shell.close()
        #expect(code(begun) == nil)
        #expect(code(begun) == nil)
    }

    @Test("A missing directory says so")
    func missingDirectory() throws {
        let directory = try TestDirectory()
        let error = code(directory.path("none/apus.db"))
        #expect(error?.code == .input)
        #expect(error?.message.contains("directory") == true)
    }

    @Test("The file is what it says: identity, version, vacuum mode, write-ahead log")
    func identity() throws {
        let log = try TestLog()
        let shell = try Shell(log.path, isReadOnly: true)
        #expect(try shell.run("PRAGMA application_id") == [["\(0x4170_7573)"]])
        #expect(try shell.run("PRAGMA user_version") == [["\(Migrations.all.count)"]])
        #expect(try shell.run("PRAGMA auto_vacuum") == [["2"]])
        #expect(try shell.run("PRAGMA journal_mode") == [["wal"]])
        #expect(try shell.run("PRAGMA page_size") == [["8192"]])
    }

    @Test("Every file of migrations/ is embedded, in order")
    func migrations() throws {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("migrations")
        let files = try FileManager.default.contentsOfDirectory(atPath: folder.path)
            .filter { $0.hasSuffix(".sql") }.sorted()
        #expect(files == Migrations.all.map { $0.name + ".sql" })
        for (file, migration) in zip(files, Migrations.all) {
            #expect(try String(contentsOf: folder.appendingPathComponent(file), encoding: .utf8) == migration.sql)
        }
    }

    @Test("A log keeps its random id; two logs have different ones")
    func logID() throws {
        let log = try TestLog()
        let id = try log.store.status().log
        try log.reopen()
        #expect(try log.store.status().log == id)
        let other = try TestLog()
        #expect(try other.store.status().log != id)
    }

    @Test("After closing, everything is refused with closed")
    func closed() throws {
        let log = try TestLog()
        try log.store.close()
        #expect(throws: ApusError(.closed, "the log is closed")) { try log.store.publish("t", count: 1) }
        #expect(throws: ApusError(.closed, "the log is closed")) { try log.store.status() }
    }
}

@Suite("Reading a file without a broker")
struct ReadOnlyTests {
    @Test("Beside a running broker it sees what is committed, and changes nothing")
    func besideBroker() throws {
        let log = try TestLog()
        try log.store.publish("t", count: 3)
        let queries = try Store.openReadOnly(path: log.path, limits: .defaults)
        #expect(try queries.status().head == 3)
        try log.store.publish("t", count: 2)
        let bounds = try queries.bounds(HistorySelection())
        #expect(bounds.after == 0 && bounds.through == 5)
        let page = try queries.history(
            HistoryRequest(
                selection: HistorySelection(), after: 0, through: 5, bytesMax: 1 << 20, countMax: 100))
        #expect(page.messages.count == 5)
        #expect(try log.store.publish("t", count: 1).batch?.through == 6)
    }

    @Test("A closed log, and one of a killed broker with its write-ahead log")
    func withoutBroker() throws {
        let log = try TestLog()
        try log.store.publish("t", count: 3)
        let killed = try log.copyAsKilled()
        #expect(try Store.openReadOnly(path: killed, limits: .defaults).status().head == 3)
        try log.store.close()
        #expect(try Store.openReadOnly(path: log.path, limits: .defaults).status().head == 3)
    }

    @Test("Where nothing can be written beside it, it is read as it is, unless rows stand in its write-ahead log")
    func nothingCanBeWritten() throws {
        let log = try TestLog()
        try log.store.publish("t", count: 3)
        let killed = try log.copyAsKilled("killed ?#%.db")
        try log.store.close()
        // SQLite follows no link to its shared memory: that keeps it from making one, also for root.
        for path in [log.path, killed, log.path + " ?#%"] {
            try FileManager.default.createSymbolicLink(atPath: path + "-shm", withDestinationPath: "none/none")
        }
        #expect(try Store.openReadOnly(path: log.path, limits: .defaults).status().head == 3)
        let error = #expect(throws: ApusError.self) { try Store.openReadOnly(path: killed, limits: .defaults) }
        #expect(error?.code == .input)
        #expect(error?.message.contains("write-ahead log") == true)
        try FileManager.default.moveItem(atPath: log.path, toPath: log.path + " ?#%")
        #expect(try Store.openReadOnly(path: log.path + " ?#%", limits: .defaults).status().head == 3)
    }

    @Test("What is no log is refused")
    func refused() throws {
        let directory = try TestDirectory()
        let error = #expect(throws: ApusError.self) {
            try Store.openReadOnly(path: directory.path("none.db"), limits: .defaults)
        }
        #expect(error?.code == .input)
        #expect(!FileManager.default.fileExists(atPath: directory.path("none.db")))
    }
}
