import ApusBroker
import ApusMigrations
import ApusModel
import ApusStore
import ApusTesting
import CZlib
import Foundation
import Logging
import NIOConcurrencyHelpers
import Testing

@Suite("Upgrading")
struct UpgradeTests {
    /// What a later Apus may bring, through the real mechanism: there is no second schema yet.
    private static let second = Schema(
        migrations: Migrations.all + [
            ("0002_later", "CREATE TABLE later (seq INTEGER) STRICT; INSERT INTO later SELECT seq FROM message;")
        ])

    /// One more that fails in its middle, after the second one and a part of its own.
    private static let broken = Schema(
        migrations: Migrations.all + [
            ("0002_later", "CREATE TABLE later (seq INTEGER) STRICT; DELETE FROM message WHERE seq > 1;"),
            ("0003_broken", "UPDATE log SET id = 'changed'; INSERT INTO nowhere VALUES (1);"),
        ])

    private func refusal(_ path: String, _ schema: Schema, migrate: Bool = true) -> ApusError? {
        do {
            try TestLog.open(path, migrate: migrate, schema: schema).close()
            return nil
        } catch {
            return error as? ApusError
        }
    }

    /// A closed log of today's schema with three messages.
    private func closedLog() throws -> TestLog {
        let log = try TestLog()
        try log.store.publish("t", count: 3)
        try log.store.close()
        return log
    }

    /// The file of a release, as `Resources/make-log.sh` made it.
    private func released(_ version: Int, in directory: TestDirectory) throws -> String {
        let name = "Resources/log-schema-\(version).db.gz"
        let url = Bundle.module.bundleURL.appendingPathComponent(name)
        let file = try #require(gzopen(url.path, "rb"))
        defer { gzclose(file) }
        var bytes = [UInt8](repeating: 0, count: 1 << 20)
        let count = gzread(file, &bytes, UInt32(bytes.count))
        let path = directory.path("apus.db")
        try Data(bytes[..<max(0, Int(count))]).write(to: URL(fileURLWithPath: path))
        return path
    }

    @Test("A log of every released schema opens with all that is in it", arguments: 1...Int(Schema.current.version))
    func releasedSchemas(version: Int) throws {
        let directory = try TestDirectory()
        let path = try released(version, in: directory)
        let store = try TestLog.open(path)
        let rows = try store.readAll()
        #expect(rows.count == 224)
        #expect(rows[0].topic == "greetings/en" && rows[0].payload == "hello")
        #expect(rows[1].encoding.charset == "shift_jis")
        #expect(rows[2].encoding.contentType == "application/json" && rows[2].headers == #"{"site":"lab"}"#)
        #expect(rows[3...202].allSatisfy { $0.topic == "lines" && $0.publisher == "counter" })
        #expect(rows[203].payload == "bonjour" && rows[203].seq == 65_537)
        #expect(try store.readSeqs(filters("greetings/+")) == [1, 2, 65_537])
        #expect(try store.topics(.all, afterID: 0, countMax: 10).rows.map(\.messages) == [1, 1, 1, 220, 1])
        let retained = PageRequest(
            filters: .all, after: 0, through: store.head, bytesMax: 9_999, countMax: 9)
        #expect(try store.retained(retained).messages.map(\.seq) == [3])
        // The ids of a publisher go on.
        #expect(try store.openPublisher("counter", user: "").lastID == 200)
        #expect(try store.publish([Draft("lines")]).batch?.through == rows[223].seq + 1)
        try store.close()
        #expect(try Shell(path).run("PRAGMA integrity_check") == [["ok"]])
    }

    @Test("An older schema is copied, then changed; the copy is one file, whole, as private as the log")
    func upgrades() throws {
        let log = try closedLog()
        #expect(chmod(log.path, 0o640) == 0)
        let before = try Shell(log.path, isReadOnly: true).run("SELECT id FROM log")
        let lines = RecordingLog(level: .trace)
        let store = try TestLog.open(log.path, logger: lines.logger, schema: Self.second)
        #expect(try store.readAll().count == 3)
        #expect(try store.publish("t", count: 1).batch?.through == 4)
        try store.close()
        let shell = try Shell(log.path, isReadOnly: true)
        #expect(try shell.run("PRAGMA user_version") == [["2"]])
        #expect(try shell.run("SELECT * FROM later") == [["1"], ["2"], ["3"]])
        #expect(log.directory.names.filter { $0.hasPrefix("apus.db.") } == ["apus.db.lock", "apus.db.schema-1"])
        let path = log.path + ".schema-1"
        #expect(lines.lines.contains { $0.contains(path) })
        let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
        #expect(mode == 0o640)
        let copy = try Shell(path, isReadOnly: true)
        #expect(try copy.run("PRAGMA user_version") == [["1"]])
        #expect(try copy.run("PRAGMA journal_mode") == [["delete"]])
        #expect(try copy.run("PRAGMA integrity_check") == [["ok"]])
        #expect(try copy.run("SELECT id FROM log") == before)
        #expect(try copy.run("SELECT count(*) FROM message") == [["3"]])
        // Once is enough.
        let count = lines.lines.count
        try TestLog.open(log.path, logger: lines.logger, schema: Self.second).close()
        #expect(lines.lines.count == count)
    }

    @Test("The copy has what a killed broker left in its write-ahead log")
    func killed() throws {
        let log = try TestLog()
        try log.store.publish("t", count: 3)
        let path = try log.copyAsKilled()
        let store = try TestLog.open(path, schema: Self.second)
        #expect(try store.readAll().count == 3)
        try store.close()
        #expect(try Shell(path + ".schema-1", isReadOnly: true).run("SELECT count(*) FROM message") == [["3"]])
    }

    @Test("A new log gets every migration, and no copy")
    func newLog() throws {
        let directory = try TestDirectory()
        try TestLog.open(directory.path("apus.db"), schema: Self.second).close()
        #expect(directory.names == ["apus.db", "apus.db.lock"])
        #expect(try Shell(directory.path("apus.db")).run("PRAGMA user_version") == [["2"]])
    }

    @Test("Where it may not be changed it is refused, and nothing is left beside it")
    func noMigrate() throws {
        let log = try closedLog()
        let (names, bytes) = (log.directory.names, try Data(contentsOf: URL(fileURLWithPath: log.path)))
        let error = refusal(log.path, Self.second, migrate: false)
        #expect(error?.code == .logOlder)
        #expect(error?.message.contains("version 1") == true && error?.hint?.contains("--no-migrate") == true)
        #expect(log.directory.names == names)
        #expect(try Data(contentsOf: URL(fileURLWithPath: log.path)) == bytes)
        // A reader changes nothing, so it cannot either.
        let reading = #expect(throws: ApusError.self) {
            try Store.openReadOnly(path: log.path, limits: .defaults, schema: Self.second)
        }
        #expect(reading?.code == .logOlder)
        // Nothing to change: nothing to refuse.
        #expect(refusal(log.path, .current, migrate: false) == nil)
    }

    @Test("A newer schema is refused with the way back, where there is one; and that way works")
    func downgrade() throws {
        let log = try closedLog()
        try TestLog.open(log.path, schema: Self.second).close()
        let names = log.directory.names
        let error = refusal(log.path, .current)
        #expect(error?.code == .logNewer)
        #expect(error?.hint?.contains(log.path + ".schema-1") == true)
        #expect(log.directory.names == names)
        try FileManager.default.removeItem(atPath: log.path)
        try FileManager.default.moveItem(atPath: log.path + ".schema-1", toPath: log.path)
        let back = try TestLog.open(log.path)
        #expect(try back.readAll().count == 3)
        try back.close()
        try TestLog.open(log.path, schema: Self.second).close()
        try FileManager.default.removeItem(atPath: log.path + ".schema-1")
        let lost = refusal(log.path, .current)
        #expect(lost?.code == .logNewer && lost?.hint?.contains("schema-1") == false)
    }

    @Test("A migration that fails in the middle leaves the file as it was, byte for byte, and the copy beside it")
    func failing() throws {
        let log = try closedLog()
        let bytes = try Data(contentsOf: URL(fileURLWithPath: log.path))
        for _ in 0..<2 {
            let error = refusal(log.path, Self.broken)
            #expect(error?.code == .input)
            #expect(error?.message.contains("nowhere") == true)
            #expect(error?.message.contains("from version 1 to 3") == true)
            #expect(error?.hint?.contains(log.path + ".schema-1") == true)
            #expect(try Data(contentsOf: URL(fileURLWithPath: log.path)) == bytes)
            #expect(log.directory.names == ["apus.db", "apus.db.lock", "apus.db.schema-1"], "one copy, not one a try")
        }
        #expect(try Shell(log.path + ".schema-1", isReadOnly: true).run("SELECT count(*) FROM message") == [["3"]])
        let store = try TestLog.open(log.path)
        #expect(try store.readAll().count == 3)
        try store.close()
    }

    @Test("Without room for the copy nothing is begun, and the refusal says how much it takes")
    func noRoom() throws {
        let log = try closedLog()
        let bytes = try Data(contentsOf: URL(fileURLWithPath: log.path))
        let needed = bytes.count + 16 << 20
        func open(free: Int) throws {
            try Store.open(
                path: log.path, limits: .defaults, logger: RecordingLog(level: .trace).logger, schema: Self.second,
                freeBytes: { _ in free }
            ).close()
        }
        let error = #expect(throws: ApusError.self) { try open(free: needed - 1) }
        #expect(error?.code == .storageFull)
        #expect(error?.message.contains("takes \(needed) bytes, \(needed - 1) are free") == true)
        #expect(log.directory.names == ["apus.db", "apus.db.lock"])
        #expect(try Data(contentsOf: URL(fileURLWithPath: log.path)) == bytes)
        try open(free: needed)
        #expect(log.directory.names.contains("apus.db.schema-1"))
    }

    @Test("A disk that is full while the copy is written: refused, and no half copy stays")
    func fullDisk() throws {
        let log = try closedLog()
        let disk = FaultyDisk.watch(log.path + ".schema-1.partial")
        disk.fail(.write, .database, .init(code: Code.full, after: 2))
        let error = refusal(log.path, Self.second)
        #expect(error?.code == .storageFull)
        #expect(log.directory.names == ["apus.db", "apus.db.lock"])
        disk.heal()
        #expect(refusal(log.path, Self.second) == nil)
    }

    @Test("What lies where the copy belongs is replaced only if it is a copy of this log")
    func inTheWay() throws {
        let log = try closedLog()
        let place = log.path + ".schema-1"
        let other = try TestLog()
        try other.store.close()
        for content in [Data("a letter".utf8), try Data(contentsOf: URL(fileURLWithPath: other.path))] {
            try content.write(to: URL(fileURLWithPath: place))
            let error = refusal(log.path, Self.second)
            #expect(error?.code == .input && error?.message.contains("in the way") == true, "\(error as Any)")
            #expect(try Data(contentsOf: URL(fileURLWithPath: place)) == content)
        }
        try FileManager.default.removeItem(atPath: place)
        try FileManager.default.copyItem(atPath: log.path, toPath: place)
        #expect(refusal(log.path, Self.second) == nil)
    }

    @Test("What takes long is said while it goes on; who is killed meanwhile leaves the log as it was")
    func progress() throws {
        let log = try TestLog()
        let large = String(repeating: "x", count: 1 << 20)
        for _ in 0..<20 { try log.store.publish([Draft("t", large, level: .stored)]) }
        try log.store.close()
        let counting = """
            CREATE TABLE later (n INTEGER) STRICT;
            INSERT INTO later WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 300000)
            SELECT max(x) FROM c;
            """
        let lines = RecordingLog(level: .trace)
        // Each look at the clock is six seconds after the one before.
        let now = NIOLockedValueBox<Microseconds>(0)
        let path = log.path
        let killed = log.directory.path("killed.db")
        let schema = Schema(migrations: Migrations.all + [("0002_long", counting)])
        try Store.open(
            path: path, limits: .defaults, logger: lines.logger,
            monotonic: {
                if lines.lines.last?.contains("still being changed") == true,
                    !FileManager.default.fileExists(atPath: killed)
                {
                    // In the middle of the migration, as a kill leaves it.
                    for suffix in ["", "-wal"] {
                        try? FileManager.default.copyItem(atPath: path + suffix, toPath: killed + suffix)
                    }
                }
                return now.withLockedValue {
                    $0 += 6_000_000
                    return $0
                }
            }, schema: schema
        ).close()
        #expect(lines.lines.contains { $0.contains("copying the log") && $0.contains("1024 of") })
        #expect(lines.lines.contains { $0.contains("still being changed") })
        let store = try TestLog.open(killed)
        #expect(try store.readAll().count == 20)
        try store.close()
        try TestLog.open(killed, schema: schema).close()
    }
}

@Suite("A start that is refused")
struct RefusedStartTests {
    @Test("leaves no new file behind, whatever stopped it", arguments: [DiskFaults.File.database, .wal])
    func leavesNothing(file: DiskFaults.File) throws {
        let directory = try TestDirectory()
        let disk = FaultyDisk.watch(directory.path("apus.db"))
        var failures = 0
        while failures < 100 {
            disk.fail(.write, file, .init(code: Code.full, after: failures))
            // It opens once more writes are let through than it makes.
            guard let store = try? TestLog.open(directory.path("apus.db")) else {
                #expect(directory.names.isEmpty, "after \(failures) writes")
                failures += 1
                continue
            }
            disk.heal()
            try store.close()
            break
        }
        #expect((2..<100).contains(failures))
        #expect(directory.names == ["apus.db", "apus.db.lock"])
    }

    @Test("leaves nothing beside a file that is no log, or a newer one, and does not take a running broker's lock away")
    func leavesFilesAlone() throws {
        let log = try TestLog()
        try log.store.close()
        try FileManager.default.removeItem(atPath: log.path + ".lock")
        let shell = try Shell(log.path)
        try shell.run("PRAGMA user_version = 99")
        shell.close()
        try Data("a letter".utf8).write(to: URL(fileURLWithPath: log.directory.path("letter")))
        let names = log.directory.names
        #expect(names == ["apus.db", "letter"])
        for name in names {
            #expect(throws: ApusError.self) { try TestLog.open(log.directory.path(name)) }
            #expect(log.directory.names == names)
        }
        let running = try TestLog()
        let before = running.directory.names
        let error = #expect(throws: ApusError.self) { try TestLog.open(running.path) }
        #expect(error?.code == .logLocked)
        #expect(running.directory.names == before && before.contains("apus.db.lock"))
        try running.store.publish("t", count: 1)
    }

    @Test("is an input/output error where a folder is missing, is none, or is none of ours")
    func codes() throws {
        let directory = try TestDirectory()
        try Data("a letter".utf8).write(to: URL(fileURLWithPath: directory.path("letter")))
        for path in [directory.path("none/apus.db"), directory.path("letter/apus.db"), "/proc/apus.db"] {
            let error = #expect(throws: ApusError.self) { try TestLog.open(path) }
            #expect(error?.code == .input, "\(path): \(error as Any)")
            let reading = #expect(throws: ApusError.self) { try Store.openReadOnly(path: path, limits: .defaults) }
            #expect(reading?.code == .input, "\(path): \(reading as Any)")
        }
    }

    @Test("does not happen because a program that was started from the broker's process still runs")
    func closeOnExec() throws {
        let log = try TestLog()
        var child: pid_t = 0
        var arguments: [UnsafeMutablePointer<CChar>?] = [strdup("sleep"), strdup("600"), nil]
        defer { for argument in arguments { free(argument) } }
        // Not Foundation's Process, which closes what it finds open.
        try #require(posix_spawnp(&child, "sleep", nil, nil, &arguments, environ) == 0)
        defer {
            kill(child, SIGKILL)
            var status: Int32 = 0
            waitpid(child, &status, 0)
        }
        try log.store.close()
        try TestLog.open(log.path).close()
    }
}
