internal import ApusModel
internal import GRDB
internal import GRDBSQLite
internal import Logging

/// What opening gathers before there is a writer.
struct OpenedWriter {
    var file: LogFile
    var limits: Limits
    var logger: Logger
    var clock: @Sendable () -> Microseconds
    var monotonic: @Sendable () -> Microseconds
    var queue: DatabaseQueue
    var connection: OpaquePointer
    var statements: WriterStatements
    var state: LogState
    var logID: String
    var wal: WALWatch
    var fileIdentity: FileIdentity
    var walIdentity: FileIdentity
}

extension LogWriter {
    /// Opens the log so that everything it says from now on is on the disk.
    static func open(
        file: LogFile, state: LogFile.State, limits: Limits, rules: OpeningRules,
        clock: @escaping @Sendable () -> Microseconds
    ) throws(ApusError) -> LogWriter {
        let queue = try file.openWriter(state, limits: limits, rules)
        do {
            let opened = try queue.writeWithoutTransaction { db in
                guard let connection = db.sqliteConnection else {
                    throw ApusError(.internalError, "the connection to \(file.path) is closed")
                }
                let opening = Opening(
                    file: file, connection: connection, limits: limits, logger: rules.logger, now: clock())
                return try opening.run(queue: queue, clock: clock, monotonic: rules.monotonic)
            }
            let writer = LogWriter(opened)
            try writer.prepare()
            return writer
        } catch {
            try? queue.close()
            if let error = error as? ApusError { throw error }
            throw file.opening(error as? SQLiteFailure ?? SQLiteFailure(error, doing: "opening the log"))
        }
    }

    private func prepare() throws(ApusError) {
        try confined { () throws(ApusError) in
            do {
                wal.install(on: connection)
                busy.install(on: connection)
                dataVersion = try statements.dataVersion.first("reading the data version") { $0.int(0) } ?? 0
                try reloadPostings()
                try forgetIdlePublishers()
            } catch let failure as SQLiteFailure {
                throw file.opening(failure)
            } catch let stop as WriteStop {
                switch stop {
                case .refused(let reason), .fatal(let reason): throw reason
                }
            } catch {
                throw ApusError(.internalError, "opening the log: \(error)")
            }
        }
    }
}

/// The first commit on a log: it says that the log is in use, reserves seqs, and takes what came before to the disk.
private struct Opening {
    let file: LogFile
    let connection: OpaquePointer
    let limits: Limits
    let logger: Logger
    let now: Microseconds

    func run(
        queue: DatabaseQueue, clock: @escaping @Sendable () -> Microseconds,
        monotonic: @escaping @Sendable () -> Microseconds
    ) throws -> OpenedWriter {
        let statements = try WriterStatements(on: connection)
        try statements.begin.run("beginning the first transaction")
        let (state, logID, wasClean): (LogState, String, Bool)
        do {
            (state, logID, wasClean) = try readState(statements)
            statements.reserve.bind(1, state.reservedThrough)
            statements.reserve.bind(2, Int64(0))
            try statements.reserve.run("noting that the log is in use")
            try statements.commit.run("committing that the log is in use")
        } catch {
            _ = try? statements.rollback.run("rolling back")
            throw error
        }
        if !wasClean {
            logger.notice("the log was not closed properly; it goes on", metadata: ["path": "\(file.path)"])
        }
        let wal = WALWatch(pageBytes: try pageBytes())
        try copyLog(wal)
        guard let fileIdentity = FileIdentity.of(file.path), let walIdentity = FileIdentity.of(file.walPath) else {
            throw ApusError(.input, "\(file.path) has been removed while it was opened")
        }
        return OpenedWriter(
            file: file, limits: limits, logger: logger, clock: clock, monotonic: monotonic, queue: queue,
            connection: connection, statements: statements, state: state, logID: logID, wal: wal,
            fileIdentity: fileIdentity, walIdentity: walIdentity)
    }

    private func readState(_ statements: WriterStatements) throws -> (LogState, String, Bool) {
        let newest = try statements.newestMessage.first("reading the newest message") { ($0.seq(0), $0.int(1)) }
        let known = try statements.readLog.first("reading the log's state") { row in
            (
                LogState(
                    head: row.seq(0), reservedThrough: row.seq(0), sealedThrough: row.seq(1),
                    trimmedThrough: row.seq(2), lastTime: newest?.1 ?? 0, topics: LogState.count(row.int(3)),
                    encodings: LogState.count(row.int(4)), publishers: LogState.count(row.int(5))), row.text(7),
                row.int(6) != 0
            )
        }
        if var known {
            // After an unclean stop the reservation says how far seqs may have been seen; after a clean one it is the
            // head. Either way the log goes on behind it.
            known.0.head = max(known.0.head, newest?.0 ?? 0)
            guard known.0.isPossible else {
                throw ApusError(
                    .logDamaged, "\(file.path) is damaged: a seq in it is out of range",
                    hint: "Restore the file from a copy.")
            }
            known.0.reservedThrough = known.0.head + LogState.seqsReserved
            return known
        }
        guard newest == nil else {
            throw ApusError(
                .logDamaged, "\(file.path) has messages, but the row of its state is gone",
                hint: "Restore the file from a copy.")
        }
        let created = try createState()
        return (created, try logID(), true)
    }

    private func createState() throws -> LogState {
        let insert = try Statement(
            "INSERT INTO log VALUES (1, lower(hex(randomblob(16))), ?1, 0, 0, 0, 1, 0, 0, 0, 0)", on: connection)
        insert.bind(1, now)
        try insert.run("creating the log's state")
        return LogState(
            head: 0, reservedThrough: LogState.seqsReserved, sealedThrough: 0, trimmedThrough: 0, lastTime: 0,
            topics: 0, encodings: 0, publishers: 0)
    }

    private func logID() throws -> String {
        try Statement("SELECT id FROM log", on: connection).first("reading the log's id") { $0.text(0) } ?? ""
    }

    private func pageBytes() throws -> Int {
        Int(try Statement("PRAGMA page_size", on: connection).first("reading the page size") { $0.int(0) } ?? 4_096)
    }

    /// Copies the write-ahead log that a killed broker left, and cuts it. The commit before has synced it; where a
    /// foreign reader keeps it from being cut, that has to do.
    private func copyLog(_ wal: WALWatch) throws {
        var frames: Int32 = 0
        var copied: Int32 = 0
        sqlite3_busy_timeout(connection, 200)
        let code = sqlite3_wal_checkpoint_v2(connection, nil, SQLITE_CHECKPOINT_TRUNCATE, &frames, &copied)
        sqlite3_busy_timeout(connection, Int32(limits.busyTimeoutSeconds * 1_000))
        if code == SQLITE_OK { return }
        let failure = SQLiteFailure(code: code, on: connection, doing: "copying the write-ahead log")
        guard failure.isBusy || failure.isFull else { throw failure }
        wal.checkpointed(frames: Int(max(copied, 0)), of: Int(max(frames, 0)))
        logger.warning("the write-ahead log could not be emptied at opening", metadata: ["reason": "\(failure)"])
    }
}
