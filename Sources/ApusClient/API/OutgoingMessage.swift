public import NIOCore

/// A message to publish.
public struct OutgoingMessage: Sendable {
    /// At most 65,535 bytes of UTF-8, no NUL, no wildcard.
    public var topic: String
    public var payload: ByteBuffer
    /// How to read the payload; the broker keeps it with the message.
    public var encoding: Encoding
    public var headers: Headers
    public var key: String?
    /// Seconds after which the message is no longer delivered; 0 for never.
    public var ttlSeconds: UInt32
    /// Whether the broker keeps it as its topic's last message for `.lastPerTopic`.
    public var retain: Bool
    /// What its acknowledgement promises. With `none` there is no acknowledgement.
    public var level: AckLevel

    public init(
        topic: String, payload: ByteBuffer, encoding: Encoding = .undeclared, headers: Headers = [:],
        key: String? = nil, ttlSeconds: UInt32 = 0, retain: Bool = false, level: AckLevel = .synced
    ) {
        self.topic = topic
        self.payload = payload
        self.encoding = encoding
        self.headers = headers
        self.key = key
        self.ttlSeconds = ttlSeconds
        self.retain = retain
        self.level = level
    }

    /// The text as UTF-8, which is declared as its charset where `encoding` declares nothing.
    public init(
        topic: String, text: String, encoding: Encoding = .undeclared, headers: Headers = [:], key: String? = nil,
        ttlSeconds: UInt32 = 0, retain: Bool = false, level: AckLevel = .synced
    ) {
        self.init(
            topic: topic, payload: ByteBuffer(string: text),
            encoding: encoding.isUndeclared ? OutgoingMessage.utf8 : encoding, headers: headers, key: key,
            ttlSeconds: ttlSeconds, retain: retain, level: level)
    }

    private static let utf8: Encoding = (try? Encoding(charset: "utf-8")) ?? .undeclared
}

/// What the broker says about a publish.
public struct Receipt: Sendable, Hashable {
    /// Where it stands in the log; 0 for a duplicate and for level `none`.
    public var seq: Seq
    public var level: AckLevel
    /// It had been recorded before: a publish that was sent again.
    public var isDuplicate: Bool

    public init(seq: Seq, level: AckLevel, isDuplicate: Bool = false) {
        self.seq = seq
        self.level = level
        self.isDuplicate = isDuplicate
    }
}
