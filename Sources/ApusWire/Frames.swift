package import ApusModel
package import NIOCore

/// One frame of the native protocol. docs/PROTOCOL.md says what each field means. What is large and rare is boxed, so
/// that the frequent kinds are passed on with few bytes copied.
package enum Frame: Sendable {
    indirect case hello(Hello)
    indirect case welcome(Welcome)
    case publish(Publish)
    case published(PublishedRun)
    indirect case subscribe(Subscribe)
    case subscribed(subscription: UInt32, next: Seq)
    case message(Envelope)
    case credit(Credit)
    case ack(subscription: UInt32, seq: Seq)
    case nack(subscription: UInt32, seq: Seq)
    case unsubscribe(subscription: UInt32)
    case caughtUp(subscription: UInt32, seq: Seq)
    indirect case gap(GapNotice)
    indirect case query(Query)
    indirect case row(Row)
    indirect case end(QueryEnd)
    case ping
    case pong
    indirect case error(ErrorReply)
    case goodbye(reason: String?)
    /// A frame that was read to its end but cannot be followed: answered with the error, and the conversation goes on.
    indirect case invalid(ErrorReply)
}

package struct Hello: Sendable, Hashable {
    package var version: UInt64 = Wire.version
    package var clientID: String?
    package var publisher: String?
    package var user: String?
    package var password: Secret?
    package var token: Secret?
    /// Seconds.
    package var keepAlive: UInt64?

    package init() {}
}

package struct Welcome: Sendable, Hashable {
    package var version: UInt64 = Wire.version
    package var clientID: String
    package var log: String
    /// Only where `hello` named a publisher: the last id recorded under that name.
    package var lastID: UInt64?
    package var keepAlive: UInt64
    package var limits: [String: UInt64] = [:]

    package init(clientID: String, log: String, lastID: UInt64?, keepAlive: UInt64, limits: [String: UInt64]) {
        self.clientID = clientID
        self.log = log
        self.lastID = lastID
        self.keepAlive = keepAlive
        self.limits = limits
    }
}

/// The texts of a publish or a message, as pieces of the buffer that holds them; empty where there is none.
package struct EnvelopeText: BitwiseCopyable, Sendable {
    package var topic = Slice.empty
    package var contentType = Slice.empty
    package var charset = Slice.empty
    package var contentEncoding = Slice.empty
    package var byteOrder = Slice.empty
    package var format = Slice.empty
    /// JSON text.
    package var headers = Slice.empty
    package var key = Slice.empty
    /// Only of history rows.
    package var publisher = Slice.empty

    package init() {}
}

/// On the hot path: plain numbers and two slices of what was received, no text is made.
package struct Publish: Sendable {
    package var id: UInt64 = 0
    package var hasID = false
    package var level = AckLevel.synced
    package var retain = false
    /// Seconds; 0 for never.
    package var ttl: UInt32 = 0
    package var text = EnvelopeText()
    /// What `text` refers to.
    package var fields: ByteBuffer
    package var content: ByteBuffer

    package init(fields: ByteBuffer, content: ByteBuffer) {
        self.fields = fields
        self.content = content
    }
}

package struct Subscribe: Sendable, Hashable {
    package var subscription: UInt32
    package var filters: [TopicFilter]
    package var from: StartPosition
    /// Messages that may be sent; nil for no limit but the socket's.
    package var credit: UInt64?

    package init(subscription: UInt32, filters: [TopicFilter], from: StartPosition = .now, credit: UInt64? = nil) {
        self.subscription = subscription
        self.filters = filters
        self.from = from
        self.credit = credit
    }
}

/// A message on its way to a subscriber, as read from the wire; also a history row (`subscription` is the query then).
package struct Envelope: Sendable {
    package var subscription: UInt32 = 0
    package var seq: Seq = 0
    package var time: Microseconds = 0
    package var isRedelivered = false
    package var isRetained = false
    package var isConverted = false
    package var deliveryCount: UInt64 = 1
    package var text = EnvelopeText()
    package var fields: ByteBuffer
    package var content: ByteBuffer

    package init(fields: ByteBuffer, content: ByteBuffer) {
        self.fields = fields
        self.content = content
    }
}

/// More messages for a subscription, or more rows for a query.
package struct Credit: Sendable, Hashable {
    package enum Target: Sendable, Hashable {
        case subscription(UInt32)
        case query(UInt32)
    }
    package var target: Target
    package var credit: UInt64

    package init(target: Target, credit: UInt64) {
        self.target = target
        self.credit = credit
    }
}

package struct GapNotice: Sendable, Hashable {
    package var subscription: UInt32
    package var from: Seq
    package var to: Seq
    package var count: UInt64
    package var reason: String

    package init(subscription: UInt32, from: Seq, to: Seq, count: UInt64, reason: String) {
        self.subscription = subscription
        self.from = from
        self.to = to
        self.count = count
        self.reason = reason
    }
}

package struct Query: Sendable, Hashable {
    package enum Selection: String, Sendable {
        case history
        case topics
        case status
    }
    package var query: UInt32
    package var select: Selection
    package var filters: [TopicFilter] = []
    /// Of `history`.
    package var conditions = HistoryConditions()
    /// Rows at most.
    package var limit: UInt64?
    /// Rows that may be sent before more credit comes; nil for no limit but the socket's.
    package var credit: UInt64?

    package init(query: UInt32, select: Selection) {
        self.query = query
        self.select = select
    }
}

/// A row of a query: of `history` a message, of `topics` and `status` a JSON object as content.
package struct Row: Sendable, Hashable {
    package var query: UInt32
    package var message: Message?
    package var content: ByteBuffer

    package init(query: UInt32, message: Message?, content: ByteBuffer) {
        self.query = query
        self.message = message
        self.content = content
    }
}

/// From the broker: the query's end. From the client: cancel it.
package struct QueryEnd: Sendable, Hashable {
    package var query: UInt32
    /// Rows sent.
    package var count: UInt64
    /// `complete`, `limit` or `cancelled`.
    package var reason: String

    package init(query: UInt32, count: UInt64 = 0, reason: String) {
        self.query = query
        self.count = count
        self.reason = reason
    }
}

/// An error, and what it answers.
package struct ErrorReply: Sendable, Hashable {
    package var error: ApusError
    package var id: UInt64?
    package var subscription: UInt32?
    package var query: UInt32?
    /// How many publishes without ids it answers, in order; 0 where it answers none.
    package var count: UInt64 = 0

    package init(
        _ error: ApusError, id: UInt64? = nil, subscription: UInt32? = nil, query: UInt32? = nil, count: UInt64 = 0
    ) {
        self.error = error
        self.id = id
        self.subscription = subscription
        self.query = query
        self.count = count
    }
}
