internal import ApusBroker
internal import ApusModel
internal import GRDBSQLite

// Topics and encodings: looked up once per submission in memory, then in the file, then added.
extension LogWriter {
    /// Where the topic stands in the batch; nil where it would be one too many for the log.
    func place(_ topic: Topic, in stage: Stage) throws(SQLiteFailure) -> UInt32? {
        if let entry = topicNames[topic] { return stage.index(of: topic, entry) }
        if let entry = stage.newTopics[topic] { return stage.index(of: topic, entry) }
        let find = try statements.findTopic
        find.bind(1, topic.name)
        if let id = try find.first("looking up a topic", { $0.int(0) }) {
            let entry = NameEntry(id: id)
            topicNames.insert(entry, for: topic)
            return stage.index(of: topic, entry)
        }
        guard stage.state.topics < limits.topicsMax else { return nil }
        let insert = try statements.insertTopic
        insert.bind(1, topic.name)
        try insert.run("adding a topic")
        let entry = NameEntry(id: sqlite3_last_insert_rowid(connection))
        stage.newTopics[topic] = entry
        stage.state.topics += 1
        stage.hasWritten = true
        return stage.index(of: topic, entry)
    }

    /// The same for an encoding.
    func place(_ encoding: Encoding, in stage: Stage) throws(SQLiteFailure) -> UInt32? {
        if let entry = encodingNames[encoding] { return stage.index(of: encoding, entry) }
        if let entry = stage.newEncodings[encoding] { return stage.index(of: encoding, entry) }
        let find = try statements.findEncoding
        bindDeclared(encoding, to: find)
        if let id = try find.first("looking up an encoding", { $0.int(0) }) {
            let entry = NameEntry(id: id)
            encodingNames.insert(entry, for: encoding)
            return stage.index(of: encoding, entry)
        }
        guard stage.state.encodings < limits.encodingsMax else { return nil }
        let insert = try statements.insertEncoding
        bindDeclared(encoding, to: insert)
        for (index, text) in [encoding.mediaType, encoding.textCharset, encoding.compression].enumerated() {
            if let text { insert.bind(Int32(6 + index), text) } else { insert.bindNull(Int32(6 + index)) }
        }
        try insert.run("adding an encoding")
        let entry = NameEntry(id: sqlite3_last_insert_rowid(connection))
        stage.newEncodings[encoding] = entry
        stage.state.encodings += 1
        stage.hasWritten = true
        return stage.index(of: encoding, entry)
    }

    private func bindDeclared(_ encoding: Encoding, to statement: Statement) {
        let fields = [
            encoding.contentType, encoding.charset, encoding.contentEncoding, encoding.byteOrder, encoding.format,
        ]
        for (index, field) in fields.enumerated() { statement.bind(Int32(1 + index), field ?? "") }
    }
}
