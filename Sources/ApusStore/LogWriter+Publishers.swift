internal import ApusBroker
internal import ApusModel
internal import GRDBSQLite

// Publishers that asked for deduplication.
extension LogWriter {
    /// Gives the name to whoever asks now; an older handle is fenced from this commit on.
    func open(_ request: OpenPublisher, in stage: Stage) throws(SQLiteFailure) -> ItemAnswer {
        let find = try statements.findPublisher
        find.bind(1, request.user)
        find.bind(2, request.name)
        let known = try find.first("looking up a publisher") { ($0.int(0), $0.seq(1), $0.text(2)) }
        if known == nil, stage.state.publishers >= limits.publishersMax {
            return .refused(
                .fatal(
                    .tooMany, "the log has \(limits.publishersMax) publisher names, the limit max-publishers",
                    hint: "Use a name again, or publish without one: then nothing is deduplicated."))
        }
        let upsert = try statements.openPublisher
        upsert.bind(1, request.user)
        upsert.bind(2, request.name)
        upsert.bind(3, stage.time)
        try upsert.run("opening a publisher")
        let row = known?.0 ?? sqlite3_last_insert_rowid(connection)
        if known == nil { stage.state.publishers += 1 }
        // What the batch holds so far of an older handle is in `opened`, and in the row since its submission ended.
        let lastID = stage.opened[row]?.lastID ?? known?.1 ?? 0
        let refused = stage.opened[row]?.refused ?? known.map { RefusedIDs(text: $0.2) } ?? RefusedIDs()
        lastEpoch += 1
        stage.opened[row] = OpenedPublisher(name: request.name, epoch: lastEpoch, lastID: lastID, refused: refused)
        return .opened(PublisherHandle(rowID: row, epoch: lastEpoch), lastID: lastID)
    }

    /// Whether a handle may publish.
    func admit(_ handle: PublisherHandle, in stage: Stage) -> Result<OpenedPublisher, ApusError> {
        guard let publisher = stage.opened[handle.rowID] ?? openedPublishers[handle.rowID],
            publisher.epoch == handle.epoch
        else {
            return .failure(
                .fatal(
                    .fenced, "another connection has opened this publisher's name",
                    hint: "One connection at a time publishes under a name. Give each process a name of its own."))
        }
        if let refusal = publisher.refusal {
            return .failure(
                .fatal(
                    refusal.code,
                    "an earlier publish of this connection was refused, so later ones are too: \(refusal.message)",
                    hint: "Connect again: welcome's last-id says from where to send again."))
        }
        return .success(publisher)
    }

    /// The last id in the file, once a submission, and which ones up to it were refused.
    func note(_ publisher: OpenedPublisher, of handle: PublisherHandle, in stage: Stage) throws(SQLiteFailure) {
        let before = stage.opened[handle.rowID] ?? openedPublishers[handle.rowID]
        guard before?.lastID != publisher.lastID else { return }
        if before?.refused != publisher.refused {
            let refuse = try statements.refusePublisher
            refuse.bind(1, handle.rowID)
            refuse.bind(2, publisher.refused.text)
            try refuse.run("noting refused ids")
        }
        let update = try statements.usePublisher
        update.bind(1, handle.rowID)
        update.bind(2, publisher.lastID)
        update.bind(3, stage.time)
        try update.run("noting a publisher's last id")
        stage.opened[handle.rowID] = publisher
        stage.hasWritten = true
    }

    /// Names that nobody used for long. A connection that had one and wakes up later is told to connect again.
    ///
    /// As of the newest message, so that a wall clock that is far ahead at a start forgets nobody.
    func forgetIdlePublishers() throws(WriteStop) {
        let cutoff = min(clock(), state.lastTime) - Int64(limits.publisherIdleDays) * 86_400_000_000
        var idle: [Int64] = []
        do {
            let find = try Statement("SELECT id FROM publisher WHERE used_at < ?1 LIMIT 1000", on: connection)
            find.bind(1, cutoff)
            while try find.step("looking for idle publishers") { idle.append(find.int(0)) }
        } catch {
            throw .unknown(path: file.path, error)
        }
        guard !idle.isEmpty else { return }
        try transact(isSynced: false) { () throws(SQLiteFailure) in
            let remove = try Statement("DELETE FROM publisher WHERE id = ?1", on: connection)
            for row in idle {
                remove.bind(1, row)
                try remove.run("forgetting an idle publisher")
            }
        }
        for row in idle { openedPublishers[row] = nil }
        state.publishers -= idle.count
    }
}
