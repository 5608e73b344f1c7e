internal import ApusBroker
internal import ApusModel
internal import GRDBSQLite
internal import NIOCore

// One submission into the open transaction: the hot path.
extension LogWriter {
    /// Parameters of the insert statement, by number.
    private enum Column {
        static let seq: Int32 = 1
        static let topic: Int32 = 2
        static let encoding: Int32 = 3
        static let publisher: Int32 = 5
        static let publishID: Int32 = 6
        static let expiresAt: Int32 = 7
        static let headers: Int32 = 8
        static let key: Int32 = 9
        static let checksum: Int32 = 10
        static let payload: Int32 = 11
    }

    /// Slots of a submission's names: not looked up yet, or refused for good.
    private static let unresolved = UInt32.max
    private static let refused = UInt32.max - 1

    /// SQLite holds no row over 10^9 bytes.
    private static let rowBytesMax = 999_000_000

    func record(_ submission: Submission, in stage: Stage) throws(SQLiteFailure) -> ItemAnswer {
        var publisher: OpenedPublisher?
        if let handle = submission.publisher {
            switch admit(handle, in: stage) {
            case .success(let admitted): publisher = admitted
            case .failure(let reason): return .refused(reason)
            }
        }
        resetSlots(submission)
        let result = submission.arena.withUnsafeReadableBytes { bytes in
            Result { () throws(SQLiteFailure) in
                try record(submission, bytes: bytes, publisher: &publisher, in: stage)
            }
        }
        let answers = try result.get()
        if let publisher, let handle = submission.publisher {
            try note(publisher, of: handle, in: stage)
        }
        return .publish(answers)
    }

    private func resetSlots(_ submission: Submission) {
        topicSlots.removeAll(keepingCapacity: true)
        topicSlots.append(contentsOf: repeatElement(LogWriter.unresolved, count: submission.topics.count))
        encodingSlots.removeAll(keepingCapacity: true)
        encodingSlots.append(contentsOf: repeatElement(LogWriter.unresolved, count: submission.encodings.count))
    }

    private func record(
        _ submission: Submission, bytes: UnsafeRawBufferPointer, publisher: inout OpenedPublisher?, in stage: Stage
    ) throws(SQLiteFailure) -> [PublishAnswer] {
        let insert = try statements.insertMessage
        var row = RowBinder(insert: insert, arena: UInt32(stage.arenas.count), time: stage.time)
        if let handle = submission.publisher, let publisher {
            insert.bind(Column.publisher, handle.rowID)
            row.publisher = stage.index(ofPublisher: handle.rowID, name: publisher.name)
        } else {
            insert.bindNull(Column.publisher)
            insert.bindNull(Column.publishID)
        }
        var answers = AnswerBuilder()
        let before = stage.messages.count
        var refused = PublisherRefusals(submission.refused, behind: publisher?.lastID ?? 0)
        for message in submission.messages {
            let id = message.hasID ? message.id : nil
            if let id, let lastID = publisher?.lastID {
                if id <= lastID, let refusal = publisher?.refused.error(of: id) {
                    if message.level != .none { answers.refuse(id: id, refusal) }
                    continue
                }
                if id <= lastID {
                    if message.level != .none {
                        answers.add(
                            PublishedRun(lastID: id, count: 1, lastSeq: 0, level: stage.level, isDuplicate: true))
                    }
                    continue
                }
                // Also where it is refused below: a refusal that lasts uses the id up.
                publisher?.lastID = id
            }
            if let refusal = try resolve(message, of: submission, bytes: bytes, into: &row, in: stage) {
                answers.refuse(id: id, refusal)
                if let id { refused.add(id, refusal.code) }
                continue
            }
            if publisher != nil {
                if let id { insert.bind(Column.publishID, id) } else { insert.bindNull(Column.publishID) }
            }
            let seq = try insertRow(message, bytes: bytes, &row, in: stage)
            if message.level == .none { continue }
            answers.add(PublishedRun(lastID: id, count: 1, lastSeq: seq, level: stage.level))
        }
        if publisher != nil { refused.note(in: &publisher) }
        if stage.messages.count > before { stage.arenas.append(submission.arena) }
        return answers.finish()
    }

    /// What a submission refuses for good: on its connection, and here. Rare, so it is put in order at the end.
    private struct PublisherRefusals {
        private let before: RefusedIDs
        private let lastID: UInt64
        private var here: [(id: UInt64, code: ApusError.Code)] = []

        init(_ before: RefusedIDs, behind lastID: UInt64) {
            self.before = before
            self.lastID = lastID
        }

        mutating func add(_ id: UInt64, _ code: ApusError.Code) { here.append((id, code)) }

        func note(in publisher: inout OpenedPublisher?) {
            guard !before.isEmpty || !here.isEmpty else { return }
            publisher?.refused.add(before.with(here), behind: lastID)
        }
    }

    /// What stays the same from row to row, so that it is bound only when it changes.
    private struct RowBinder {
        let insert: Statement
        let arena: UInt32
        let time: Microseconds
        var publisher = StoredMessage.noPublisher
        var topic: UInt32 = 0
        var encoding: UInt32 = 0
        // Nothing is known of what the submission before left bound.
        var hasExpiry = true
        var hasHeaders = true
        var hasKey = true
    }

    /// Finds the names' places in the batch.
    /// - Returns: why the message is refused for good, or nil.
    private func resolve(
        _ message: PendingMessage, of submission: Submission, bytes: UnsafeRawBufferPointer,
        into row: inout RowBinder, in stage: Stage
    ) throws(SQLiteFailure) -> ApusError? {
        let topic = Int(message.topic)
        let encoding = Int(message.encoding)
        let size = Int(message.headers.length) + Int(message.key.length) + Int(message.payload.length)
        guard topic < topicSlots.count, encoding < encodingSlots.count,
            message.headers.range.upperBound <= bytes.count, message.key.range.upperBound <= bytes.count,
            message.payload.range.upperBound <= bytes.count
        else { return ApusError(.internalError, "a publish refers to something outside of its submission") }
        guard size <= LogWriter.rowBytesMax else {
            return ApusError(.messageTooLarge, "the message has \(size) bytes, a row holds \(LogWriter.rowBytesMax)")
        }
        if topicSlots[topic] == LogWriter.unresolved {
            topicSlots[topic] = try place(submission.topics[topic], in: stage) ?? LogWriter.refused
        }
        if encodingSlots[encoding] == LogWriter.unresolved {
            encodingSlots[encoding] = try place(submission.encodings[encoding], in: stage) ?? LogWriter.refused
        }
        row.topic = topicSlots[topic]
        row.encoding = encodingSlots[encoding]
        if row.topic == LogWriter.refused { return tooMany("topics", "max-topics", limits.topicsMax) }
        if row.encoding == LogWriter.refused { return tooMany("encodings", "max-encodings", limits.encodingsMax) }
        return nil
    }

    private func tooMany(_ what: String, _ limit: String, _ max: Int) -> ApusError {
        ApusError(.tooMany, "the log has \(max) \(what), the limit \(limit); this one would be new")
    }

    private func insertRow(
        _ message: PendingMessage, bytes: UnsafeRawBufferPointer, _ row: inout RowBinder, in stage: Stage
    ) throws(SQLiteFailure) -> Seq {
        let insert = row.insert
        let seq = stage.state.head + 1
        let headers = UnsafeRawBufferPointer(rebasing: bytes[message.headers.range])
        let key = UnsafeRawBufferPointer(rebasing: bytes[message.key.range])
        let payload = UnsafeRawBufferPointer(rebasing: bytes[message.payload.range])
        let checksum = RowChecksum.of(
            topic: stage.topicChecksums[Int(row.topic)], encoding: stage.encodingChecksums[Int(row.encoding)],
            seq: seq, time: row.time, headers: headers, key: key, payload: payload)
        let topicID = stage.topicIDs[Int(row.topic)]
        insert.bind(Column.seq, seq)
        insert.bind(Column.topic, topicID)
        insert.bind(Column.encoding, stage.encodingIDs[Int(row.encoding)])
        insert.bind(Column.checksum, Int64(checksum))
        insert.bindBlob(Column.payload, payload)
        let expiresAt = message.ttl == 0 ? 0 : LogWriter.expiry(row.time, ttl: message.ttl)
        bindOptional(Column.expiresAt, expiresAt == 0, &row.hasExpiry, insert) { insert.bind($0, expiresAt) }
        bindOptional(Column.headers, headers.isEmpty, &row.hasHeaders, insert) { insert.bindText($0, headers) }
        bindOptional(Column.key, key.isEmpty, &row.hasKey, insert) { insert.bindText($0, key) }
        try insert.run("recording a message")
        stage.state.head = seq
        stage.hasWritten = true
        stage.messages.append(
            StoredMessage(
                seq: seq, receivedAt: row.time, expiresAt: expiresAt, topic: row.topic, encoding: row.encoding,
                publisher: row.publisher, arena: row.arena, headers: message.headers, key: message.key,
                payload: message.payload))
        if message.isRetained { try retain(seq, topic: topicID, isCleared: payload.isEmpty) }
        return seq
    }

    /// The time comes from the file where the clock is behind it, so the sum may overflow.
    private static func expiry(_ time: Microseconds, ttl: UInt32) -> Microseconds {
        let (expiresAt, overflow) = time.addingReportingOverflow(Int64(ttl) * 1_000_000)
        return overflow ? .max : expiresAt
    }

    /// Binds a value, or NULL where the row before had one.
    private func bindOptional(
        _ column: Int32, _ isAbsent: Bool, _ wasPresent: inout Bool, _ insert: Statement, _ bind: (Int32) -> Void
    ) {
        if !isAbsent {
            bind(column)
        } else if wasPresent {
            insert.bindNull(column)
        }
        wasPresent = !isAbsent
    }

    /// MQTT's rule: the last retained message of a topic is what a new subscriber gets; an empty one takes it away.
    private func retain(_ seq: Seq, topic: Int64, isCleared: Bool) throws(SQLiteFailure) {
        let statement = isCleared ? try statements.unretain : try statements.retain
        statement.bind(1, topic)
        if !isCleared { statement.bind(2, seq) }
        try statement.run("noting a retained message")
    }
}
