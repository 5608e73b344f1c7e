internal import ApusBroker
internal import ApusModel
internal import NIOCore

/// Everything that one batch changes and answers, until its COMMIT has returned OK. Dropped if it does not.
final class Stage {
    var state: LogState
    /// The level that this commit reaches.
    let level: AckLevel
    let time: Microseconds
    /// Tells this batch's notes in name entries from older ones.
    let stamp: UInt64
    let after: Seq

    var answers: [ItemAnswer] = []
    /// Whether the transaction has changed a page for certain.
    var hasWritten = false

    /// Whether it uses seqs that only this commit reserves: nobody may see them before they are on the disk.
    var isUnreserved = false

    // The batch for the broker.
    var messages: [StoredMessage] = []
    var topics: [Topic] = []
    var encodings: [Encoding] = []
    var publishers: [String] = []
    var arenas: [ByteBuffer] = []
    // Parallel to topics and encodings.
    var topicIDs: [Int64] = []
    var topicChecksums: [UInt32] = []
    var encodingIDs: [Int64] = []
    var encodingChecksums: [UInt32] = []

    // Names that the file has only once this batch is committed.
    var newTopics: [Topic: NameEntry] = [:]
    var newEncodings: [Encoding: NameEntry] = [:]
    var opened: [Int64: OpenedPublisher] = [:]
    /// Index into `publishers`, by row.
    var publisherIndices: [Int64: UInt32] = [:]

    /// How far the oldest unsealed segment is in the file with this batch; nil where it wrote nothing of it.
    var sealedEntries: Int?

    init(state: LogState, level: AckLevel, time: Microseconds, stamp: UInt64, rows: Int) {
        self.state = state
        self.level = level
        self.time = time
        self.stamp = stamp
        after = state.head
        messages.reserveCapacity(rows)
    }

    /// Where a topic stands in this batch.
    func index(of topic: Topic, _ entry: NameEntry) -> UInt32 {
        if entry.stamp == stamp { return entry.index }
        entry.stamp = stamp
        entry.index = UInt32(topics.count)
        topics.append(topic)
        topicIDs.append(entry.id)
        topicChecksums.append(topic.checksum)
        return entry.index
    }

    func index(of encoding: Encoding, _ entry: NameEntry) -> UInt32 {
        if entry.stamp == stamp { return entry.index }
        entry.stamp = stamp
        entry.index = UInt32(encodings.count)
        encodings.append(encoding)
        encodingIDs.append(entry.id)
        encodingChecksums.append(encoding.checksum)
        return entry.index
    }

    func index(ofPublisher row: Int64, name: String) -> UInt32 {
        if let index = publisherIndices[row] { return index }
        let index = UInt32(publishers.count)
        publisherIndices[row] = index
        publishers.append(name)
        return index
    }

    var batch: MessageBatch? {
        guard !messages.isEmpty else { return nil }
        return MessageBatch(
            after: after, through: state.head, messages: messages, topics: topics, encodings: encodings,
            publishers: publishers, arenas: arenas)
    }
}
