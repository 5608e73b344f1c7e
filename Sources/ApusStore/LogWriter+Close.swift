internal import ApusModel
internal import GRDB
internal import GRDBSQLite
internal import Logging

extension LogWriter {
    /// The last commit gives the unused seqs back and says that the log was closed properly; then everything is copied
    /// into the database file, so that it is one file again. Where the disk is full or another process is in the way, as
    /// much of that as is possible. After a failure nothing is written any more.
    ///
    /// - Throws: where a write or a sync failed; the connection is closed all the same.
    func close() throws(ApusError) {
        let result: Result<Void, ApusError> = queue.writeWithoutTransaction { _ in
            defer {
                sqlite3_wal_hook(connection, nil, nil)
                statementsOrNil = nil
                shared.fail(ApusError(.closed, "the log is closed"))
            }
            guard !shared.hasFailed else { return .success(()) }
            return Result { () throws(ApusError) in try writeFarewell() }
        }
        do {
            try queue.close()
        } catch {
            throw SQLiteFailure(error, doing: "closing the log").asError(path: file.path)
        }
        try result.get()
    }

    private func writeFarewell() throws(ApusError) {
        var refusal = try noteCleanEnd()
        let isCopied = try copyEverything()
        // Copying cuts the write-ahead log: there may be room by now.
        if refusal != nil, isCopied {
            refusal = try noteCleanEnd()
            if refusal == nil { _ = try copyEverything() }
        }
        guard let refusal else { return }
        logger.warning(
            "the log is not marked as closed: nothing is missing in it, and the next start goes on at a later seq",
            metadata: ["path": "\(file.path)", "reason": "\(refusal.message)"])
    }

    /// - Returns: why it is not noted, where the disk is full or another process has locked the log: then everything that
    ///   was acknowledged is there all the same.
    private func noteCleanEnd() throws(ApusError) -> ApusError? {
        do {
            try transact(isSynced: true) { () throws(SQLiteFailure) in
                let reserve = try statements.reserve
                reserve.bind(1, state.head)
                reserve.bind(2, Int64(1))
                try reserve.run("noting a clean end")
            }
            return nil
        } catch {
            switch error {
            case .refused(let reason): return reason
            case .fatal(let reason): throw reason
            }
        }
    }

    /// - Returns: whether everything is in the database file.
    private func copyEverything() throws(ApusError) -> Bool {
        sqlite3_busy_timeout(connection, 200)
        let code = sqlite3_wal_checkpoint_v2(connection, nil, SQLITE_CHECKPOINT_TRUNCATE, nil, nil)
        if code == SQLITE_OK { return true }
        let failure = SQLiteFailure(code: code, on: connection, doing: "copying the write-ahead log")
        // A foreign reader or a full disk: the write-ahead log stays. Nothing is missing in it.
        guard failure.isBusy || failure.isFull else { throw failure.asError(path: file.path) }
        logger.warning(
            "the write-ahead log stays beside the file: it is complete, and the next start goes on with it",
            metadata: ["path": "\(file.walPath)", "reason": "\(failure)"])
        return false
    }
}
