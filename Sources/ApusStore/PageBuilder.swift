internal import ApusBroker
internal import ApusModel
internal import NIOCore

/// Collects rows into one batch with one arena.
struct PageBuilder {
    private let reader: LogReader
    private let after: Seq
    private let bytesMax: Int
    private let countMax: Int
    private let now: Microseconds

    private(set) var messages: [StoredMessage] = []
    private var topics: [Topic] = []
    private var encodings: [Encoding] = []
    private var publishers: [String] = []
    private var topicIndices: [Int64: UInt32] = [:]
    private var encodingIndices: [Int64: UInt32] = [:]
    private var publisherIndices: [Int64: UInt32] = [:]
    private var arena = ByteBuffer()
    private var gaps: [Gap] = []
    private var expired: [Seq] = []

    /// What a message costs besides its bytes.
    private static let messageBytes = MemoryLayout<StoredMessage>.stride

    init(reader: LogReader, after: Seq, bytesMax: Int, countMax: Int) {
        self.reader = reader
        self.after = after
        self.bytesMax = bytesMax
        self.countMax = countMax
        now = reader.settings.clock()
    }

    /// Says that everything up to `seq` has been deleted.
    mutating func noteTrimmed(from: Seq, through: Seq) {
        gaps.append(Gap(from: from, through: through, count: through - from + 1, reason: .trimmed))
    }

    /// What comes before a damaged row is good, and ends its page.
    ///
    /// - Throws: `log-damaged` where the page's first row is not what was recorded.
    mutating func offer(_ row: StoredRow) throws -> WalkStep {
        do {
            return try take(row)
        } catch let error as ApusError where error.code == .logDamaged && !messages.isEmpty {
            return .stopBefore
        }
    }

    private mutating func take(_ row: StoredRow) throws -> WalkStep {
        let seq = row.seq
        let expiresAt = row.expiresAt
        if expiresAt != 0, expiresAt <= now {
            expired.append(seq)
            return .goOn
        }
        let headers = row.headers
        let key = row.key
        let payload = row.payload
        let bytes = headers.count + key.count + payload.count
        let used = arena.readableBytes + messages.count * PageBuilder.messageBytes
        if !messages.isEmpty, used + bytes + PageBuilder.messageBytes > bytesMax { return .stopBefore }
        let topic = try place(topic: row.topic)
        let encoding = try place(encoding: row.encoding)
        let checksum = RowChecksum.of(
            topic: topics[Int(topic)].checksum, encoding: encodings[Int(encoding)].checksum, seq: seq,
            time: row.receivedAt, headers: headers, key: key, payload: payload)
        guard Int64(checksum) == row.checksum else {
            throw reader.damaged("message \(seq) is not what was recorded: its checksum does not fit")
        }
        let message = StoredMessage(
            seq: seq, receivedAt: row.receivedAt, expiresAt: expiresAt, topic: topic, encoding: encoding,
            publisher: try place(publisher: row.publisher), headers: copy(headers), key: copy(key),
            payload: copy(payload))
        messages.append(message)
        return messages.count >= countMax ? .stopAfter : .goOn
    }

    private mutating func copy(_ bytes: UnsafeRawBufferPointer) -> Slice {
        guard !bytes.isEmpty else { return .empty }
        let slice = Slice(offset: UInt32(arena.writerIndex), length: UInt32(bytes.count))
        arena.writeBytes(bytes)
        return slice
    }

    private mutating func place(topic id: Int64) throws -> UInt32 {
        if let index = topicIndices[id] { return index }
        topics.append(try reader.topic(id))
        let index = UInt32(topics.count - 1)
        topicIndices[id] = index
        return index
    }

    private mutating func place(encoding id: Int64) throws -> UInt32 {
        if let index = encodingIndices[id] { return index }
        encodings.append(try reader.encoding(id))
        let index = UInt32(encodings.count - 1)
        encodingIndices[id] = index
        return index
    }

    private mutating func place(publisher id: Int64?) throws -> UInt32 {
        guard let id else { return StoredMessage.noPublisher }
        if let index = publisherIndices[id] { return index }
        guard let name = try reader.publisher(id) else { return StoredMessage.noPublisher }
        publishers.append(name)
        let index = UInt32(publishers.count - 1)
        publisherIndices[id] = index
        return index
    }

    func finish(through: Seq) -> MessageBatch {
        MessageBatch(
            after: after, through: through, messages: messages, topics: topics, encodings: encodings,
            publishers: publishers, arenas: [arena], gaps: gaps, expired: expired)
    }
}
