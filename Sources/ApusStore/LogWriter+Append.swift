internal import ApusBroker
internal import ApusModel
internal import GRDBSQLite
internal import NIOCore

extension LogWriter {
    /// Records everything in `items` in one commit and answers each.
    func append(_ items: [IntakeItem]) throws(ApusError) -> CommitOutcome {
        guard !items.isEmpty else { return CommitOutcome(batch: nil, answers: []) }
        hasJustAppended = true
        do {
            return try commit(items)
        } catch {
            switch error {
            case .refused(let reason): return refuseAll(items, reason)
            case .fatal(let reason): throw fail(reason)
            }
        }
    }

    private func commit(_ items: [IntakeItem]) throws(WriteStop) -> CommitOutcome {
        guard wal.bytes <= limits.walBytesMax else { throw .refused(walIsFull) }
        let wanted = BatchWish(items)
        try reserveIfNeeded(rows: wanted.messages)
        var staged: Stage?
        try transact(isSynced: wanted.isSynced) { () throws(SQLiteFailure) in
            let stage = newStage(wanted)
            staged = stage
            try record(items, in: stage)
            try finish(stage)
        }
        // `transact` ran its body, or it threw.
        guard let staged else { throw .fatal(WriteStop.unknown(path: file.path, "nothing was recorded")) }
        publish(staged)
        if staged.isUnreserved, staged.level != .synced {
            do {
                try sync()
            } catch .refused(let reason) {
                // The batch is committed: it can be refused no more.
                throw .fatal(reason)
            }
        }
        return CommitOutcome(batch: staged.batch, answers: staged.answers, syncNanoseconds: syncNanoseconds)
    }

    private func newStage(_ wanted: BatchWish) -> Stage {
        lastStamp += 1
        let stage = Stage(
            state: state, level: wanted.isSynced ? .synced : .stored, time: max(clock(), state.lastTime),
            stamp: lastStamp, rows: wanted.messages)
        return stage
    }

    private func record(_ items: [IntakeItem], in stage: Stage) throws(SQLiteFailure) {
        try statements.insertMessage.bind(4, stage.time)
        for item in items {
            switch item {
            case .publish(let submission): stage.answers.append(try record(submission, in: stage))
            case .openPublisher(let request): stage.answers.append(try open(request, in: stage))
            }
        }
        if !stage.messages.isEmpty { stage.state.lastTime = stage.time }
    }

    /// What rides in the batch's transaction besides its messages.
    private func finish(_ stage: Stage) throws(SQLiteFailure) {
        // One row a message and a few more: the lists of a segment are written before the next one is full, and a
        // commit of one message is not held up by a thousand rows of another.
        try writePostings(rowsMax: stage.messages.count + 16, in: stage)
        // Another process wrote messages of its own after the reservation was looked at.
        stage.isUnreserved = stage.state.head > stage.state.reservedThrough
        if stage.isUnreserved { try raiseReservation(in: stage) }
        guard stage.level == .synced else { return }
        if stage.state.reservedThrough < stage.state.head + LogState.seqsReserved / 2 {
            try raiseReservation(in: stage)
        } else if !stage.hasWritten {
            // SQLite syncs nothing for a commit that changes nothing; but what the answers stand for may still be
            // only in the page cache, written by a process that was killed before its fsync.
            try statements.mark.run("marking a sync")
        }
    }

    /// The batch is committed: memory may follow.
    private func publish(_ stage: Stage) {
        for message in stage.messages { postings.add(message.seq, topic: stage.topicIDs[Int(message.topic)]) }
        if let entry = stage.sealedEntries { postings.didWrite(through: entry) }
        for (topic, entry) in stage.newTopics { topicNames.insert(entry, for: topic) }
        for (encoding, entry) in stage.newEncodings { encodingNames.insert(entry, for: encoding) }
        for (row, publisher) in stage.opened { openedPublishers[row] = publisher }
        state = stage.state
        shared.trimmedThrough = state.trimmedThrough
        shared.head = state.head
    }

    /// Nothing was recorded. Where ids are deduplicated, what is queued behind must be refused too.
    private func refuseAll(_ items: [IntakeItem], _ reason: ApusError) -> CommitOutcome {
        for case .publish(let submission) in items {
            guard let handle = submission.publisher, openedPublishers[handle.rowID]?.epoch == handle.epoch else {
                continue
            }
            openedPublishers[handle.rowID]?.refusal = reason
        }
        return CommitOutcome(batch: nil, answers: items.map { _ in .refused(reason) })
    }

    private var walIsFull: ApusError {
        ApusError(
            .storageFull,
            "the write-ahead log of \(file.path) has \(wal.bytes) bytes, the limit wal-limit is \(limits.walBytesMax)",
            hint: "A process that reads the log for long keeps it from starting anew: end that one.")
    }

    // Reservation

    /// In a commit of its own, because it must be on the disk before a seq of the block is used. Rare: commits that
    /// reach the disk anyway raise it long before it is used up.
    private func reserveIfNeeded(rows: Int) throws(WriteStop) {
        guard state.head + Seq(rows) > state.reservedThrough else { return }
        var reserved: Seq = 0
        try transact(isSynced: true) { () throws(SQLiteFailure) in
            reserved = state.head + Seq(rows) + LogState.seqsReserved
            try writeReservation(reserved)
        }
        state.reservedThrough = reserved
    }

    private func raiseReservation(in stage: Stage) throws(SQLiteFailure) {
        let reserved = stage.state.head + LogState.seqsReserved
        try writeReservation(reserved)
        stage.state.reservedThrough = reserved
    }

    private func writeReservation(_ reserved: Seq) throws(SQLiteFailure) {
        let statement = try statements.reserve
        statement.bind(1, reserved)
        statement.bind(2, Int64(0))
        try statement.run("reserving seqs")
    }
}

/// What a batch asks for as a whole.
struct BatchWish {
    var messages = 0
    var isSynced = false

    init(_ items: [IntakeItem]) {
        for item in items {
            switch item {
            case .openPublisher: isSynced = true
            case .publish(let submission):
                messages += submission.messages.count
                if !isSynced { isSynced = submission.messages.contains { $0.level == .synced } }
            }
        }
    }
}
