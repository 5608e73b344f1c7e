internal import ApusModel

// Posting lists of full segments into the file, a slice at a time.
extension LogWriter {
    /// Rows of the oldest full segment, in the transaction at hand. The segment counts as sealed with its last row.
    func writePostings(rowsMax: Int, in stage: Stage) throws(SQLiteFailure) {
        guard let result = try writePostings(rowsMax: rowsMax, head: state.head) else { return }
        // Not noted as a write: replacing a list by an equal one, after an unclean stop, changes no page.
        stage.sealedEntries = result.entries
        if let sealed = result.sealedThrough { stage.state.sealedThrough = sealed }
    }

    /// While nobody publishes, in a transaction of its own.
    func writePostingsAtRest(rowsMax: Int) throws(WriteStop) {
        var result: (entries: Int, sealedThrough: Seq?)?
        try transact(isSynced: false) { () throws(SQLiteFailure) in
            result = try writePostings(rowsMax: rowsMax, head: state.head)
        }
        guard let result else { return }
        postings.didWrite(through: result.entries)
        if let sealed = result.sealedThrough { state.sealedThrough = sealed }
    }

    private func writePostings(
        rowsMax: Int, head: Seq
    ) throws(SQLiteFailure) -> (entries: Int, sealedThrough: Seq?)? {
        guard postings.isDue(head: head), let segment = postings.segments.first?.segment else { return nil }
        postings.sortFirst()
        let insert = try statements.insertPosting
        var entry = postings.segments.first?.written ?? 0
        var rows = 0
        while rows < rowsMax, let row = postings.row(from: entry) {
            insert.bind(1, row.segment.number)
            insert.bind(2, row.topic)
            let result = row.seqs.withUnsafeBytes { bytes in
                insert.bindBlob(3, bytes)
                return Result { () throws(SQLiteFailure) in try insert.run("writing a posting list") }
            }
            try result.get()
            entry = row.end
            rows += 1
        }
        guard postings.row(from: entry) == nil else { return (entry, nil) }
        let seal = try statements.seal
        seal.bind(1, segment.last)
        try seal.run("sealing a segment")
        return (entry, segment.last)
    }
}
