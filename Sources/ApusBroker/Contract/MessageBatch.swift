package import ApusModel
package import NIOCore

/// One recorded message. Plain bytes: what it refers to stands in its batch.
package struct StoredMessage: BitwiseCopyable, Sendable {
    package var seq: Seq
    package var receivedAt: Microseconds
    /// 0 for never.
    package var expiresAt: Microseconds
    /// Index into the batch's topics.
    package var topic: UInt32
    /// Index into the batch's encodings.
    package var encoding: UInt32
    /// Index into the batch's publishers; `noPublisher` where there is none.
    package var publisher: UInt32
    /// Index into the batch's arenas: headers, key and payload lie there.
    package var arena: UInt32
    package var headers: Slice
    package var key: Slice
    package var payload: Slice

    package static let noPublisher = UInt32.max

    package init(
        seq: Seq, receivedAt: Microseconds, expiresAt: Microseconds = 0, topic: UInt32, encoding: UInt32,
        publisher: UInt32 = noPublisher, arena: UInt32 = 0, headers: Slice = .empty, key: Slice = .empty,
        payload: Slice
    ) {
        self.seq = seq
        self.receivedAt = receivedAt
        self.expiresAt = expiresAt
        self.topic = topic
        self.encoding = encoding
        self.publisher = publisher
        self.arena = arena
        self.headers = headers
        self.key = key
        self.payload = payload
    }
}

/// Messages of the log between two seqs: what a commit added (then all of them), or a page read for a set of filters
/// (then those that match). Immutable, so that every thread may hold it.
///
/// The interval (`after`, `through`] is what the batch speaks for, holes included: a cursor that stands in it goes on
/// to `through`, whatever the seqs of the messages are.
package final class MessageBatch: Sendable {
    package let after: Seq
    package let through: Seq
    /// In the order of their seqs.
    package let messages: [StoredMessage]
    /// Distinct.
    package let topics: [Topic]
    package let encodings: [Encoding]
    package let publishers: [String]
    package let arenas: [ByteBuffer]
    /// Seqs of the interval that are gone, and why: each gap lies before the first message. Empty for a batch that was
    /// just committed.
    package let gaps: [Gap]
    /// Seqs of messages that would be here, but had expired when they were read; ascending. Each by itself, because a
    /// cursor may stand anywhere in the interval, and is told of those behind it, once.
    package let expired: [Seq]
    /// What it costs in memory: storage allocated for arenas and rows.
    package let bytes: Int

    package init(
        after: Seq, through: Seq, messages: [StoredMessage], topics: [Topic], encodings: [Encoding],
        publishers: [String] = [], arenas: [ByteBuffer], gaps: [Gap] = [],
        expired: [Seq] = []
    ) {
        self.after = after
        self.through = through
        self.messages = messages
        self.topics = topics
        self.encodings = encodings
        self.publishers = publishers
        self.arenas = arenas
        self.gaps = gaps
        self.expired = expired
        bytes =
            topics.reduce(0) { $0 + $1.cost } + arenas.reduce(0) { $0 + $1.storageCapacity } + messages.capacity
            * MemoryLayout<StoredMessage>.stride + expired.capacity * MemoryLayout<Seq>.stride + 256
    }

    /// By topic index: the indices of its messages, ascending.
    func indicesByTopic() -> [[UInt32]] {
        var lists = Array(repeating: [UInt32](), count: topics.count)
        for (index, message) in messages.enumerated() { lists[Int(message.topic)].append(UInt32(index)) }
        return lists
    }
}

/// Seqs that were not delivered, and why.
package struct Gap: Hashable, Sendable {
    package let from: Seq
    package let through: Seq
    /// How many messages are known to be missing.
    package let count: UInt64
    package let reason: Reason

    /// A stable word of the protocol.
    package enum Reason: String, Sendable, CaseIterable {
        /// Past their time to live.
        case expired
        /// Deleted before they were read.
        case trimmed
    }

    package init(from: Seq, through: Seq, count: UInt64, reason: Reason) {
        self.from = from
        self.through = through
        self.count = count
        self.reason = reason
    }
}
