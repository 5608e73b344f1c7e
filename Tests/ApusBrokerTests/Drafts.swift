import ApusBroker
import ApusModel
import ApusTesting
import NIOCore

/// Submissions and batches, in words of a test.
func submission(
    _ topics: [String], from number: UInt64 = 1, hub: Int = 0, firstID: UInt64? = nil, level: AckLevel = .synced,
    ttl: UInt32 = 0, isRetained: Bool = false, publisher: PublisherHandle? = nil, payload: String = "x"
) throws -> Submission {
    var submission = Submission(
        connection: ConnectionID(hub: hub, number: number), publisher: publisher, arena: ByteBuffer())
    for (index, name) in topics.enumerated() {
        let topic = try Topic(name)
        if !submission.topics.contains(topic) { submission.topics.append(topic) }
        let offset = submission.arena.writerIndex
        let length = submission.arena.writeString(payload)
        submission.messages.append(
            PendingMessage(
                id: (firstID ?? 0) + UInt64(index), hasID: firstID != nil, level: level, isRetained: isRetained,
                topic: UInt32(submission.topics.firstIndex(of: topic) ?? 0), ttl: ttl,
                payload: Slice(offset: UInt32(offset), length: UInt32(length))))
    }
    submission.encodings = [.undeclared]
    return submission
}

/// A committed batch of messages without payload.
func batch(after: Seq, seqs: [Seq], through: Seq? = nil, topic: String = "a", arenaBytes: Int = 0) throws
    -> MessageBatch
{
    MessageBatch(
        after: after, through: through ?? seqs.last ?? after,
        messages: seqs.map { StoredMessage(seq: $0, receivedAt: 0, topic: 0, encoding: 0, payload: .empty) },
        topics: [try Topic(topic)], encodings: [.undeclared],
        arenas: [ByteBufferAllocator().buffer(capacity: arenaBytes)])
}

func filters(_ texts: String...) throws -> FilterSet {
    FilterSet(try texts.map { (text) throws(ApusError) in try TopicFilter(text) })
}

extension SeededRandom {
    mutating func isTrue(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &self) < percent }
}
