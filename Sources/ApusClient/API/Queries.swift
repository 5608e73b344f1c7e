internal import ApusWire

/// Which messages of the log to read.
public struct HistoryQuery: Sendable, Hashable {
    /// Topics that match any of these; none for all.
    public var filters: [String]
    public var conditions = HistoryConditions()
    /// Rows at most.
    public var limit: Int?

    public init(filters: [String] = []) { self.filters = filters }

    /// - Throws: `invalid-filter`, or `usage` for a negative number.
    func wire() throws(ApusError) -> Query {
        var query = Query(query: 0, select: .history)
        query.filters = try Filters.parse(filters)
        for (name, value) in [("last", conditions.last), ("limit", limit)] where (value ?? 0) < 0 {
            throw ApusError(.usage, "\(name) is negative")
        }
        query.conditions = conditions
        query.limit = limit.map(UInt64.init)
        return query
    }
}

/// A topic of the log.
public struct TopicInfo: Sendable, Hashable {
    public var topic: String
    /// Messages in the log.
    public var messages: UInt64
    /// The newest one's seq.
    public var lastSeq: Seq

    public init(topic: String, messages: UInt64, lastSeq: Seq) {
        self.topic = topic
        self.messages = messages
        self.lastSeq = lastSeq
    }
}

/// What the broker said when it greeted.
public struct ServerInfo: Sendable, Hashable {
    /// The name under which the broker knows this client.
    public var clientID: String
    /// The log's random id: seqs mean something only within one log.
    public var log: String
    /// Of the protocol.
    public var version: UInt64
    /// The last id recorded under the publisher's name; nil without one.
    public var lastID: UInt64?
    /// Granted; 0 for none.
    public var keepAliveSeconds: Int
    /// The broker's limits that concern a client, by their names.
    public var limits: [String: UInt64]

    init(_ welcome: Welcome) {
        clientID = welcome.clientID
        log = welcome.log
        version = welcome.version
        lastID = welcome.lastID
        keepAliveSeconds = Int(clamping: welcome.keepAlive)
        limits = welcome.limits
    }
}

enum Filters {
    /// Leaves room for the other fields of a frame that carries filters.
    private static let bytesMax = 60_000

    /// - Throws: `invalid-filter`, saying what is wrong with which one.
    static func parse(_ texts: [String]) throws(ApusError) -> [TopicFilter] {
        var filters: [TopicFilter] = []
        // How many levels a filter may have is the broker's to say.
        for text in texts { filters.append(try TopicFilter(text, levelsMax: Topic.bytesMax)) }
        // They travel as JSON in a frame's header, which has at most 65,535 bytes.
        guard JSON.array(texts.map(JSON.string)).bytes.count <= Filters.bytesMax else {
            throw ApusError(
                .invalidFilter, "the filters have more than \(Filters.bytesMax) bytes together",
                hint: "Subscribe more than once.")
        }
        return filters
    }
}
