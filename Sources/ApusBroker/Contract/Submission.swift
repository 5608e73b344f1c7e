// Station 4, intake. In: the publishes of one read turn of one connection. Out: one batch for the writer thread.

package import ApusModel
package import NIOCore

/// One accepted publish. Plain bytes: what it refers to stands in its submission.
package struct PendingMessage: BitwiseCopyable, Sendable {
    /// The sender's number; meaningless where `hasID` is false.
    package var id: UInt64
    package var hasID: Bool
    package var level: AckLevel
    package var isRetained: Bool
    /// Index into the submission's topics.
    package var topic: UInt32
    /// Index into the submission's encodings.
    package var encoding: UInt32
    /// Seconds until the message expires; 0 for never.
    package var ttl: UInt32
    /// JSON text; empty where there are no headers.
    package var headers: Slice
    /// UTF-8; empty where there is no key.
    package var key: Slice
    package var payload: Slice

    package init(
        id: UInt64 = 0, hasID: Bool = false, level: AckLevel = .synced, isRetained: Bool = false, topic: UInt32 = 0,
        encoding: UInt32 = 0, ttl: UInt32 = 0, headers: Slice = .empty, key: Slice = .empty, payload: Slice = .empty
    ) {
        self.id = id
        self.hasID = hasID
        self.level = level
        self.isRetained = isRetained
        self.topic = topic
        self.encoding = encoding
        self.ttl = ttl
        self.headers = headers
        self.key = key
        self.payload = payload
    }
}

/// The right to publish under a deduplicated name, as `openPublisher` gave it.
package struct PublisherHandle: Hashable, Sendable {
    /// The row of `publisher`.
    package let rowID: Int64
    /// Raised by each connection that opens the name: an older handle is fenced.
    package let epoch: UInt64

    package init(rowID: Int64, epoch: UInt64) {
        self.rowID = rowID
        self.epoch = epoch
    }
}

/// The publishes of one read turn of one connection, in their order, with one arena for all their bytes.
package struct Submission: Sendable {
    package let connection: ConnectionID
    /// Set where the connection's `hello` named a publisher: its ids are deduplicated.
    package let publisher: PublisherHandle?
    /// Distinct.
    package var topics: [Topic] = []
    /// Distinct.
    package var encodings: [Encoding] = []
    package var messages: [PendingMessage] = []
    /// Of a named publisher: ids before the last message's that went no further than the connection.
    package var refused = RefusedIDs()
    package var arena: ByteBuffer
    /// What the texts of its topics cost.
    package var nameBytes = 0

    package init(connection: ConnectionID, publisher: PublisherHandle?, arena: ByteBuffer) {
        self.connection = connection
        self.publisher = publisher
        self.arena = arena
    }

    /// What it costs in memory: the storage allocated, not the bytes used.
    package var bytes: Int {
        arena.storageCapacity + messages.capacity * MemoryLayout<PendingMessage>.stride + nameBytes + 256
    }
}
