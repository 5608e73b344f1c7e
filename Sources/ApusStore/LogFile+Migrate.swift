internal import ApusModel
internal import GRDB
internal import GRDBSQLite
internal import Logging

/// How a log is opened: what schema it has to have, and whether it may be changed for that.
struct OpeningRules {
    var schema = Schema.current
    /// Whether an older schema is brought up to date. A copy is written first.
    var migrates = true
    var logger: Logger
    var monotonic: @Sendable () -> Microseconds
    /// Bytes that may still be written to the file system of a path; nil where it does not say.
    var freeBytes: @Sendable (String) -> Int? = FileSystem.freeBytes(beside:)
}

// Bringing an older schema up to date.
extension LogFile {
    /// - Throws: `log-older` where the schema would have to be changed, and may not be.
    func check(_ state: State, _ rules: OpeningRules) throws(ApusError) {
        guard case .log(let version) = state, version < rules.schema.version, !rules.migrates else { return }
        throw ApusError(
            .logOlder,
            "\(path) has schema version \(version), this program needs \(rules.schema.version) and may not change it",
            hint: "Start it without --no-migrate: it writes a copy first. Or use the Apus that wrote the file.")
    }

    /// All that is missing, in one transaction: afterwards the file has the new schema, or it is as it was.
    ///
    /// - Parameter version: what ``examine(_:through:)`` found; 0 for a file without tables.
    func migrate(_ queue: DatabaseQueue, from version: Int64, _ rules: OpeningRules) throws(ApusError) {
        let schema = rules.schema
        guard version < schema.version else { return }
        var copy: UpgradeCopy?
        if version > 0 {
            let new = UpgradeCopy(of: self, version: version)
            try new.write(from: queue, rules)
            rules.logger.notice(
                "the log's schema is being changed; a copy of the log as it was has been written",
                metadata: ["path": "\(path)", "from": "\(version)", "to": "\(schema.version)", "copy": "\(new.path)"])
            copy = new
        }
        do {
            try queue.writeWithoutTransaction { db in
                let progress = MigrationProgress(path: path, rules)
                if let connection = db.sqliteConnection { progress.install(on: connection) }
                defer { if let connection = db.sqliteConnection { progress.remove(from: connection) } }
                try run(schema, from: version, db)
            }
        } catch {
            throw failed(error, from: version, to: schema.version, copy)
        }
        guard let copy else { return }
        rules.logger.notice(
            "the log's schema has been changed",
            metadata: [
                "path": "\(path)", "version": "\(schema.version)",
                "hint": "remove \(copy.path) when nobody will go back to the Apus of before",
            ])
    }

    private func run(_ schema: Schema, from version: Int64, _ db: Database) throws {
        try db.inTransaction(.immediate) {
            guard try Int64.fetchOne(db, sql: "PRAGMA user_version") == version else {
                throw ApusError(.logBusy, "another process has changed \(path) while it was opened", hint: "Try again.")
            }
            for migration in schema.migrations.dropFirst(Int(version)) { try db.execute(sql: migration.sql) }
            try db.execute(sql: "PRAGMA user_version = \(schema.version)")
            return .commit
        }
    }

    private func failed(_ error: any Error, from: Int64, to: Int64, _ copy: UpgradeCopy?) -> ApusError {
        if let error = error as? ApusError { return error }
        let failure = SQLiteFailure(error, doing: "changing the schema from version \(from) to \(to)")
        guard let copy else { return opening(failure) }
        let before = "The file is as it was, and \(copy.path) is a copy of it"
        if failure.isFull {
            return ApusError(
                .storageFull, "cannot open \(path): \(failure)", hint: "\(before). Make room, and start again.")
        }
        guard !failure.isBusy, !failure.isDamage else { return opening(failure) }
        return ApusError(
            .input, "cannot open \(path): \(failure)",
            hint: "\(before). Go on with the Apus that wrote it, and please report this.")
    }
}

/// Says from time to time that a migration is still going on.
///
/// Not Sendable: the handler runs inside the statements of the connection that it is installed on.
private final class MigrationProgress {
    private static let operations: Int32 = 1_000_000
    static let intervalMicroseconds: Int64 = 5_000_000

    private let path: String
    private let rules: OpeningRules
    private let startedAt: Microseconds
    private var saidAt: Microseconds

    init(path: String, _ rules: OpeningRules) {
        self.path = path
        self.rules = rules
        startedAt = rules.monotonic()
        saidAt = startedAt
    }

    func install(on connection: OpaquePointer) {
        sqlite3_progress_handler(
            connection, MigrationProgress.operations,
            { progress in
                if let progress { Unmanaged<MigrationProgress>.fromOpaque(progress).takeUnretainedValue().say() }
                return 0
            }, Unmanaged.passUnretained(self).toOpaque())
    }

    func remove(from connection: OpaquePointer) { sqlite3_progress_handler(connection, 0, nil, nil) }

    private func say() {
        let now = rules.monotonic()
        guard now - saidAt >= MigrationProgress.intervalMicroseconds else { return }
        saidAt = now
        rules.logger.notice(
            "the log's schema is still being changed",
            metadata: [
                "path": "\(path)", "seconds": "\((now - startedAt) / 1_000_000)",
                "wal-bytes": "\(FileSystem.bytes(of: path + "-wal"))",
            ])
    }
}
