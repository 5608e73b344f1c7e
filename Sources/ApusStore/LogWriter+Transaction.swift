internal import ApusModel
internal import GRDBSQLite
internal import Logging

// One transaction of the writer, with everything that has to hold before anybody hears of it.
extension LogWriter {
    /// BEGIN, `body`, COMMIT, and the checks after it. What `body` changed in memory is the caller's to publish, after
    /// this returned.
    ///
    /// - Parameter isSynced: whether the commit ends with an fsync of the write-ahead log.
    func transact(isSynced: Bool, _ body: () throws(SQLiteFailure) -> Void) throws(WriteStop) {
        do {
            try setSynchronous(full: isSynced)
        } catch {
            throw .unknown(path: file.path, error)
        }
        try begin()
        FileSystem.lastError = 0
        do {
            try body()
            let began = Clocks.nanoseconds()
            try statements.commit.run("committing")
            syncNanoseconds = isSynced ? Clocks.nanoseconds() - began : nil
        } catch {
            throw rollBack(after: error)
        }
        try checkIdentity()
        if isSynced {
            unsyncedSince = nil
        } else if unsyncedSince == nil {
            unsyncedSince = monotonic()
        }
        shared.walBytes = wal.bytes
        if wal.isPinned, wal.bytes < limits.walPauseBytes { noteReleased() }
    }

    private func begin() throws(WriteStop) {
        do {
            try statements.begin.run("beginning a transaction")
        } catch  where error.isBusy {
            throw .busy(path: file.path, seconds: limits.busyTimeoutSeconds)
        } catch {
            throw .unknown(path: file.path, error)
        }
        do {
            try noticeForeignWriter()
        } catch {
            throw rollBack(after: error)
        }
    }

    /// Only a full disk, rolled back, leaves the log as it was. After any other error nobody knows: SQLite may report a
    /// failed fsync, roll back, and the next start reads the rows after all.
    private func rollBack(after failure: SQLiteFailure) -> WriteStop {
        if sqlite3_get_autocommit(connection) == 0 {
            do {
                try statements.rollback.run("rolling back")
            } catch {
                return .unknown(path: file.path, error)
            }
        }
        guard sqlite3_get_autocommit(connection) != 0 else {
            return .fatal(WriteStop.unknown(path: file.path, "a transaction could not be rolled back"))
        }
        return failure.isFull ? .storageFull(path: file.path, failure) : .unknown(path: file.path, failure)
    }

    /// Two system calls a commit. A foreign process that believes it closes the file last unlinks the write-ahead log
    /// under us: commits go on returning OK, into a file without a name.
    private func checkIdentity() throws(WriteStop) {
        if FileIdentity.of(file.path) != fileIdentity {
            throw .fatal(WriteStop.unknown(path: file.path, "the file has been removed or replaced"))
        }
        if FileIdentity.of(file.walPath) != walIdentity {
            throw .fatal(WriteStop.unknown(path: file.path, "its write-ahead log has been removed or replaced"))
        }
    }

    /// The setting holds only outside transactions, and SQLite says nothing where it does not.
    private func setSynchronous(full: Bool) throws(SQLiteFailure) {
        guard full != isFull else { return }
        try execute("PRAGMA synchronous = \(full ? 2 : 1)", on: connection, doing: "setting synchronous")
        let statement = try Statement("PRAGMA synchronous", on: connection)
        let now = try statement.first("reading synchronous") { $0.int(0) }
        guard now == (full ? 2 : 1) else {
            throw SQLiteFailure(code: SQLITE_ERROR, message: "synchronous did not change", doing: "setting synchronous")
        }
        isFull = full
    }

    /// Another process has written: what is remembered may be wrong. Called right after BEGIN, so that nothing can
    /// change under the look.
    private func noticeForeignWriter() throws(SQLiteFailure) {
        let version = try statements.dataVersion.first("reading the data version") { $0.int(0) } ?? 0
        guard version != dataVersion else { return }
        logger.warning(
            "another process has written to the log; reading it again",
            metadata: ["path": "\(file.path)", "hint": "people read it with mode=ro"])
        dataVersion = version
        try reload()
    }
}
