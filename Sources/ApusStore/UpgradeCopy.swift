internal import ApusModel
internal import GRDB
internal import GRDBSQLite
internal import Logging

/// The copy of a log that is made before its schema changes: the way back.
///
/// One file beside the log, complete as of one moment, with the log's owner and permissions. It is written under another
/// name, synced, and then renamed, so that a file of its name is always whole. There is one for each schema: the next
/// try after a failed one replaces it.
struct UpgradeCopy {
    private let file: LogFile
    private let version: Int64

    init(of file: LogFile, version: Int64) {
        self.file = file
        self.version = version
    }

    var path: String { "\(file.path).schema-\(version)" }
    private var partial: LogFile { LogFile(path: path + ".partial") }

    /// Pages copied between two looks at the clock: 8 MiB.
    private static let pagesPerStep: Int32 = 1_024
    /// What has to stay free besides the copy: for the migration itself, which mostly adds little.
    private static let spareBytes = 16 << 20
    /// How often another process may write meanwhile, which makes the copying begin again.
    private static let restartsMax = 3

    /// The newest copy that a program of schema `version` at most can open, where one lies beside the log.
    static func lying(besideLogAt path: String, through version: Int64) -> String? {
        for number in stride(from: version, through: 1, by: -1) {
            let copy = UpgradeCopy(of: LogFile(path: path), version: number)
            if FileSystem.bytes(of: copy.path) > 0 { return copy.path }
        }
        return nil
    }

    /// - Throws: `storage-full` where there is no room, saying how much it takes; `input-output`; `log-busy`. Then
    ///   nothing new lies there.
    func write(from queue: DatabaseQueue, _ rules: OpeningRules) throws(ApusError) {
        do {
            try queue.writeWithoutTransaction { db in
                try checkPlace(db)
                try checkRoom(db, rules)
                try removePartial()
                defer { try? removePartial() }
                try FileSystem.createCopy(partial.path, like: file.path)
                try copyPages(db, rules)
                try FileSystem.sync(partial.path)
                try FileSystem.rename(partial.path, to: path)
                try FileSystem.syncDirectory(of: path)
            }
        } catch {
            if let error = error as? ApusError { throw error }
            let failure = error as? SQLiteFailure ?? SQLiteFailure(error, doing: "copying the log to \(path)")
            throw file.opening(failure)
        }
    }

    /// What lies in the way must be an older copy of this very log.
    private func checkPlace(_ db: Database) throws {
        if case .nothing = try FileSystem.kind(of: path) { return }
        let id = try String.fetchOne(db, sql: "SELECT id FROM log")
        guard id != nil, try id == LogFile(path: path).logID() else {
            throw ApusError(
                .input, "\(path) is in the way: a copy of the log has to be written there before its schema is changed",
                hint: "It is no copy of this log. Move it away, and start again.")
        }
    }

    private func checkRoom(_ db: Database, _ rules: OpeningRules) throws {
        let pages = try Int.fetchOne(db, sql: "PRAGMA page_count") ?? 0
        let pageBytes = try Int.fetchOne(db, sql: "PRAGMA page_size") ?? 0
        let needed = pages * pageBytes + UpgradeCopy.spareBytes
        guard let free = rules.freeBytes(file.path), free < needed else { return }
        throw ApusError(
            .storageFull,
            "there is no room to copy \(file.path) before its schema is changed from version \(version) to "
                + "\(rules.schema.version): it takes \(needed) bytes, \(free) are free",
            hint: "Make room, or move the log to a larger disk, and start again. It is as it was: the Apus that wrote "
                + "it can go on with it.")
    }

    private func removePartial() throws(ApusError) {
        for path in [partial.path, partial.walPath, partial.shmPath, partial.journalPath] {
            try FileSystem.remove(path)
        }
    }

    /// SQLite's own way: page by page, with what stands in the write-ahead log, as of one moment.
    private func copyPages(_ db: Database, _ rules: OpeningRules) throws {
        guard let source = db.sqliteConnection else { throw ApusError(.internalError, "the connection is closed") }
        var handle: OpaquePointer?
        let code = sqlite3_open_v2(partial.path, &handle, SQLITE_OPEN_READWRITE, nil)
        defer { sqlite3_close_v2(handle) }
        guard code == SQLITE_OK, let copy = handle else {
            throw SQLiteFailure(code: code, on: handle, doing: "creating \(partial.path)")
        }
        // Synced once, when it is whole; until then nobody has to be able to trust it.
        try execute("PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF", on: copy, doing: "creating the copy")
        guard let backup = sqlite3_backup_init(copy, "main", source, "main") else {
            throw SQLiteFailure(code: sqlite3_errcode(copy), on: copy, doing: "copying the log")
        }
        let result = Result { try run(backup, rules) }
        let end = sqlite3_backup_finish(backup)
        try result.get()
        guard end == SQLITE_OK else { throw SQLiteFailure(code: end, on: copy, doing: "copying the log") }
        // A single file, that can also be read where nothing can be written.
        let mode = try Statement("PRAGMA journal_mode = DELETE", on: copy).first("finishing the copy") { $0.text(0) }
        let copied = try Statement("PRAGMA user_version", on: copy).first("checking the copy") { $0.int(0) }
        guard mode == "delete", copied == version else {
            throw ApusError(.input, "the copy of \(file.path) does not say what the log says")
        }
    }

    private func run(_ backup: OpaquePointer, _ rules: OpeningRules) throws {
        var saidAt = rules.monotonic()
        var restarts = 0
        var left = Int32.max
        while true {
            let code = sqlite3_backup_step(backup, UpgradeCopy.pagesPerStep)
            if code == SQLITE_DONE { return }
            guard code == SQLITE_OK else {
                throw SQLiteFailure(code: code, on: nil, doing: "copying the log to \(path)")
            }
            let remaining = sqlite3_backup_remaining(backup)
            if remaining > left { restarts += 1 }
            guard restarts <= UpgradeCopy.restartsMax else {
                throw ApusError(
                    .logBusy, "another process keeps writing to \(file.path) while it is copied",
                    hint: "End that one; people read the log with sqlite3 'file:\(file.path)?mode=ro'.")
            }
            left = remaining
            let now = rules.monotonic()
            guard now - saidAt >= 5_000_000 else { continue }
            saidAt = now
            let all = sqlite3_backup_pagecount(backup)
            rules.logger.notice(
                "copying the log before its schema is changed",
                metadata: ["copy": "\(path)", "pages": "\(all - remaining) of \(all)"])
        }
    }
}
