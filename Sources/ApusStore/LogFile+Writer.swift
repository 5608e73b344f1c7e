internal import ApusModel
internal import GRDB
internal import GRDBSQLite

// The writer's connection: created, set up, read back.
extension LogFile {
    /// Opens the one connection that writes and checkpoints, creating or migrating the file.
    /// - Parameter state: what ``examine(_:through:)`` found.
    func openWriter(_ state: State, limits: Limits, _ rules: OpeningRules) throws(ApusError) -> DatabaseQueue {
        var version: Int64 = 0
        if case .log(let found) = state { version = found }
        do {
            let queue = try connect(.write(busyMilliseconds: limits.busyTimeoutSeconds * 1_000))
            do {
                if state == .blank { try queue.writeWithoutTransaction(create) }
                try queue.writeWithoutTransaction { try setUp($0, limits: limits) }
                try migrate(queue, from: version, rules)
            } catch {
                try? queue.close()
                throw error
            }
            if state == .blank { try FileSystem.syncDirectory(of: path) }
            return queue
        } catch {
            if let error = error as? ApusError { throw error }
            throw opening(SQLiteFailure(error, doing: "setting up the log"))
        }
    }

    /// The page size and the vacuum mode hold from the first page on; writing the identity writes it. A creation that
    /// is interrupted leaves either nothing, or an Apus log without tables, which the next opening completes.
    private func create(_ db: Database) throws {
        try db.execute(sql: "PRAGMA page_size = \(Schema.pageBytes)")
        try db.execute(sql: "PRAGMA auto_vacuum = INCREMENTAL")
        try db.execute(sql: "PRAGMA application_id = \(Schema.applicationID)")
    }

    /// Each setting is read back: one that did not hold would only show when acknowledged messages are gone.
    private func setUp(_ db: Database, limits: Limits) throws {
        try set(db, "journal_mode", "wal")
        try set(db, "synchronous", "2")
        try set(db, "wal_autocheckpoint", "0")
        try set(db, "mmap_size", "0")
        try set(db, "secure_delete", "0")
        // A WAL that once grew large is cut to this when it starts anew.
        try set(db, "journal_size_limit", String(limits.walPauseBytes))
        try set(db, "cache_size", "-16384")
        try set(db, "temp_store", "2")
    }

    private func set(_ db: Database, _ name: String, _ value: String) throws {
        _ = try Row.fetchAll(db, sql: "PRAGMA \(name) = \(value)")
        let now = try String.fetchOne(db, sql: "PRAGMA \(name)")
        guard now == value else {
            throw ApusError(
                .input, "SQLite does not take \(name) = \(value) for \(path); it stays \(now ?? "unknown")",
                hint: "The log needs a local file system that supports shared memory; network file systems do not.")
        }
    }
}
