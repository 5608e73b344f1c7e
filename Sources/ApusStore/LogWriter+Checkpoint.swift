internal import ApusBroker
internal import ApusModel
internal import GRDBSQLite
internal import Logging

// Copying the write-ahead log into the database file: only here, on the one writing connection, and only passively:
// the other kinds block for the whole busy timeout while a reader is active.
extension LogWriter {
    /// How long own readers get to finish their page.
    private static let pauseMilliseconds = 250
    /// While publishes are refused because of it, how often it is tried again.
    private static let retryMicroseconds: Int64 = 100_000
    /// While it is only larger than it should be.
    static let pinnedRetryMicroseconds: Int64 = 10_000_000
    private static let warningMicroseconds: Int64 = 60_000_000

    func checkpointIfDue() throws(WriteStop) {
        let now = monotonic()
        let sinceTry = now - wal.restartTriedAt
        let isRetry =
            wal.bytes > limits.walBytesMax && sinceTry >= LogWriter.retryMicroseconds
            || wal.isPinned && sinceTry >= LogWriter.pinnedRetryMicroseconds
        guard wal.grownBytes >= limits.walCheckpointBytes || isRetry else { return }
        if wal.bytes >= limits.walPauseBytes {
            wal.restartTriedAt = now
            try restartLog(now: now)
        } else {
            try checkpoint()
        }
    }

    /// - Returns: whether everything is copied.
    @discardableResult
    func checkpoint() throws(WriteStop) -> Bool {
        var frames: Int32 = 0
        var copied: Int32 = 0
        let began = Clocks.monotonic()
        let code = sqlite3_wal_checkpoint_v2(connection, nil, SQLITE_CHECKPOINT_PASSIVE, &frames, &copied)
        guard code == SQLITE_OK else {
            let failure = SQLiteFailure(code: code, on: connection, doing: "copying the write-ahead log")
            // The log itself has everything: a full disk only puts off the copying.
            guard failure.isBusy || failure.isFull else { throw .unknown(path: file.path, failure) }
            logger.warning("a checkpoint is put off", metadata: ["reason": "\(failure)"])
            wal.putOff()
            return false
        }
        wal.checkpointed(frames: Int(copied), of: Int(frames))
        shared.walBytes = wal.bytes
        let now = clock()
        shared.changeFigures {
            $0.checkpointedAt = now
            $0.checkpointMicroseconds = Clocks.monotonic() - began
        }
        return copied == frames
    }

    /// With no reader of ours active the checkpoint completes, and the next commit starts the log anew: both under the
    /// closed gate.
    private func restartLog(now: Microseconds) throws(WriteStop) {
        let before = wal.bytes
        var isComplete = false
        let ran: Void? = try shared.gate.closed(waitingAtMostMilliseconds: LogWriter.pauseMilliseconds) {
            () throws(WriteStop) in
            isComplete = try checkpoint()
            if isComplete { try sync() }
        }
        if ran == nil { isComplete = try checkpoint() }
        guard ran != nil, wal.bytes >= before else { return }
        let processes = ForeignReaders.holding(file.shmPath)
        notePinned(by: processes)
        guard now >= wal.warnAt else { return }
        wal.warnAt = now + LogWriter.warningMicroseconds
        logger.warning(
            "another process's reader keeps the write-ahead log from starting anew",
            metadata: [
                "bytes": "\(wal.bytes)", "limit": "\(limits.walBytesMax)", "processes": "\(processes)",
            ])
    }

    private func notePinned(by processes: [Int]) {
        wal.isPinned = true
        let now = clock()
        shared.changeFigures {
            $0.pinnedSince = $0.pinnedSince ?? now
            $0.pinnedBy = processes
        }
    }

    func noteReleased() {
        wal.isPinned = false
        shared.changeFigures {
            $0.pinnedSince = nil
            $0.pinnedBy = []
        }
    }
}
