internal import ApusModel
internal import GRDBSQLite

// Reading what the writer keeps in memory: at opening, and when somebody else has written to the file.
extension LogWriter {
    /// Everything that is remembered, from the file.
    func reload() throws(SQLiteFailure) {
        topicNames.removeAll()
        encodingNames.removeAll()
        shared.forgetNames()
        let statements = try statements
        var fresh = state
        let row: Void? = try statements.readLog.first("reading the log's state") {
            fresh.reservedThrough = max(fresh.reservedThrough, $0.seq(0))
            fresh.sealedThrough = $0.seq(1)
            fresh.trimmedThrough = $0.seq(2)
            fresh.topics = LogState.count($0.int(3))
            fresh.encodings = LogState.count($0.int(4))
            fresh.publishers = LogState.count($0.int(5))
        }
        guard row != nil else {
            throw SQLiteFailure(code: SQLITE_CORRUPT, message: "its row is gone", doing: "reading the log's state")
        }
        let newest = try statements.newestMessage.first("reading the newest message") { ($0.seq(0), $0.int(1)) }
        fresh.head = max(fresh.head, newest?.0 ?? 0)
        fresh.reservedThrough = max(fresh.reservedThrough, fresh.head)
        guard fresh.isPossible else {
            throw SQLiteFailure(
                code: SQLITE_CORRUPT, message: "a seq is out of range", doing: "reading the log's state")
        }
        fresh.lastTime = max(fresh.lastTime, newest?.1 ?? 0)
        state = fresh
        try reloadPublishers()
        try reloadPostings()
        // Nobody knows whether the other one has synced what it wrote.
        unsyncedSince = unsyncedSince ?? monotonic()
    }

    private func reloadPublishers() throws(SQLiteFailure) {
        for (row, publisher) in openedPublishers {
            let statement = try statements.publisherByID
            statement.bind(1, row)
            if let lastID = try statement.first("reading a publisher", { $0.seq(0) }) {
                openedPublishers[row]?.lastID = max(publisher.lastID, lastID)
            } else {
                openedPublishers[row] = nil
            }
        }
    }

    /// The posting lists of what is not sealed: bounded, because sealing keeps up with publishing.
    func reloadPostings() throws(SQLiteFailure) {
        postings = OpenPostings()
        let statement = try statements.unsealed
        statement.bind(1, state.sealedThrough)
        defer { statement.reset() }
        while try statement.step("reading unsealed messages") {
            postings.add(statement.seq(0), topic: statement.int(1))
        }
    }
}
