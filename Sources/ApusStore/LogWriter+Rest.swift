internal import ApusModel
internal import Logging

// What is due between commits. Called after every batch, so it looks at a few numbers where nothing is due.
extension LogWriter {
    /// How soon a `rest` follows an append before it counts as idle.
    private static let idleMicroseconds: Int64 = 1_000
    /// Posting lists written by one idle call: well under a millisecond.
    private static let postingRowsMax = 256
    private static let publishersCheckMicroseconds: Int64 = 3_600_000_000

    /// - Returns: microseconds until it wants to be called again at the latest.
    func rest() throws(ApusError) -> Int64? {
        do {
            return try doWhatIsDue()
        } catch {
            switch error {
            case .fatal(let reason): throw fail(reason)
            case .refused(let reason):
                // Nobody waits for it: it is due again.
                logger.warning("work between commits is put off", metadata: ["reason": "\(reason.message)"])
                return 100_000
            }
        }
    }

    private func doWhatIsDue() throws(WriteStop) -> Int64? {
        try checkpointIfDue()
        let now = monotonic()
        if let since = unsyncedSince, now - since >= syncDelay { try sync() }
        let isIdle = !hasJustAppended
        hasJustAppended = false
        if isIdle, postings.isDue(head: state.head) { try writePostingsAtRest(rowsMax: LogWriter.postingRowsMax) }
        if isIdle, now - publishersCheckedAt >= LogWriter.publishersCheckMicroseconds {
            publishersCheckedAt = now
            try forgetIdlePublishers()
        }
        return nextRest(now: now)
    }

    private var syncDelay: Int64 { Int64(limits.syncDelayMilliseconds) * 1_000 }

    private func nextRest(now: Microseconds) -> Int64? {
        var next: Int64?
        if let since = unsyncedSince { next = max(0, since + syncDelay - now) }
        if postings.isDue(head: state.head) { next = min(next ?? .max, LogWriter.idleMicroseconds) }
        if wal.isPinned { next = min(next ?? .max, LogWriter.pinnedRetryMicroseconds) }
        if wal.bytes > limits.walBytesMax { next = min(next ?? .max, 100_000) }
        return next
    }

    /// An fsync of the write-ahead log: SQLite makes one only for a commit that changes something.
    func sync() throws(WriteStop) {
        try transact(isSynced: true) { () throws(SQLiteFailure) in
            if state.reservedThrough < state.head + LogState.seqsReserved / 2 {
                let reserve = try statements.reserve
                reserve.bind(1, state.head + LogState.seqsReserved)
                reserve.bind(2, Int64(0))
                try reserve.run("reserving seqs")
            } else {
                try statements.mark.run("marking a sync")
            }
        }
        if state.reservedThrough < state.head + LogState.seqsReserved / 2 {
            state.reservedThrough = state.head + LogState.seqsReserved
        }
    }
}
