public import NIOCore

/// A recorded message, as a subscriber or a history query gets it.
public struct Message: Sendable, Hashable {
    public var seq: Seq
    /// When the broker recorded it: microseconds since 1970 UTC, monotone with `seq`.
    public var receivedAt: Microseconds
    public var topic: String
    public var encoding: Encoding
    public var headers: Headers
    /// The publisher's key, or nil.
    public var key: String?
    public var payload: ByteBuffer
    /// It may have been delivered before.
    public var isRedelivered: Bool
    /// It comes from the retained messages of its topic, not from the live stream.
    public var isRetained: Bool
    /// The publisher's name: only in history rows, and only for named publishers.
    public var publisher: String?

    public init(
        seq: Seq, receivedAt: Microseconds, topic: String, encoding: Encoding = .undeclared, headers: Headers = [:],
        key: String? = nil, payload: ByteBuffer, isRedelivered: Bool = false, isRetained: Bool = false,
        publisher: String? = nil
    ) {
        self.seq = seq
        self.receivedAt = receivedAt
        self.topic = topic
        self.encoding = encoding
        self.headers = headers
        self.key = key
        self.payload = payload
        self.isRedelivered = isRedelivered
        self.isRetained = isRetained
        self.publisher = publisher
    }
}
