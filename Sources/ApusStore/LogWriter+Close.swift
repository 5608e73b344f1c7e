internal import ApusModel
internal import GRDB
internal import GRDBSQLite
internal import Logging

extension LogWriter {
    /// The last commit gives the unused seqs back and says that the log was closed properly; then everything is copied
    /// into the database file, so that it is one file again. After a failure nothing is written any more.
    ///
    /// - Throws: where the log could not be closed cleanly; the connection is closed all the same.
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
        do {
            try transact(isSynced: true) { () throws(SQLiteFailure) in
                let reserve = try statements.reserve
                reserve.bind(1, state.head)
                reserve.bind(2, Int64(1))
                try reserve.run("noting a clean end")
            }
        } catch {
            switch error {
            case .refused(let reason), .fatal(let reason): throw reason
            }
        }
        sqlite3_busy_timeout(connection, 200)
        let code = sqlite3_wal_checkpoint_v2(connection, nil, SQLITE_CHECKPOINT_TRUNCATE, nil, nil)
        let failure = SQLiteFailure(code: code, on: connection, doing: "copying the write-ahead log")
        // A foreign reader or a full disk: the write-ahead log stays, complete and synced.
        guard code == SQLITE_OK || failure.isBusy || failure.isFull else { throw failure.asError(path: file.path) }
        guard code != SQLITE_OK else { return }
        logger.warning(
            "the write-ahead log stays beside the file: it is complete, and the next start goes on with it",
            metadata: ["path": "\(file.walPath)", "reason": "\(failure)"])
    }
}
