/// Every bound of the broker, by name. The one table: flags, documentation and `status` are made from ``table``.
public struct Limits: Sendable, Hashable {
    // Admission
    public var connectionsMax = 10_000
    public var connectionsPerAddressMax = 1_000
    public var connectRate = 100
    public var loopbackReserve = 16
    public var helloSeconds = 30
    public var idleSeconds = 0
    public var loginQueueMax = 256
    public var loginDelaySeconds = 30
    public var loginRecordsMax = 10_000
    // Frames
    public var headerBytesMax = 65_535
    public var messageBytesMax = 8 << 20
    public var receiveBytesMax = 64 << 20
    public var frameTimeoutSeconds = 30
    public var keepAliveSeconds = 60
    public var peerTimeoutSeconds = 60
    // Publishing
    public var publishWindowBytes = 8 << 20
    public var uncommittedBytesMax = 64 << 20
    public var newNamesPerSecond = 10_000
    public var answersMax = 65_536
    public var headersMax = 64
    // The log
    public var batchBytesMax = 4 << 20
    public var batchRowsMax = 16_384
    public var topicsMax = 1_000_000
    public var encodingsMax = 10_000
    public var publishersMax = 100_000
    public var publisherIdleDays = 30
    public var syncDelayMilliseconds = 1_000
    public var busyTimeoutSeconds = 5
    public var walCheckpointBytes = 8 << 20
    public var walPauseBytes = 64 << 20
    public var walBytesMax = 1 << 30
    public var nameCacheEntries = 65_536
    public var nameCacheBytes = 16 << 20
    // Delivery
    public var tailBytesMax = 64 << 20
    public var outboxBytesMax = 1 << 20
    public var pageBytesMax = 256 << 10
    public var pagesBytesMax = 32 << 20
    public var subscriptionsMax = 1_024
    public var filtersMax = 64
    public var filterLevelsMax = 128
    public var filtersBytesMax = 4 << 20
    public var queriesMax = 4
    public var repliesBytesMax = 64 << 10
    // The HTTP door
    public var httpConnectionsMax = 64
    public var httpHeaderBytesMax = 16 << 10
    public var httpTimeoutSeconds = 15
    // Ending
    public var drainSeconds = 10

    public static let defaults = Limits()

    public init() {}

    /// One row of the table.
    public struct Row: Sendable {
        /// The limit's name; its flag is `--` and the name.
        public let name: String
        public let unit: String
        /// What is counted, and what happens beyond.
        public let meaning: String
        public let range: ClosedRange<Int>
        nonisolated(unsafe) let path: WritableKeyPath<Limits, Int>

        public func value(in limits: Limits) -> Int { limits[keyPath: path] }

        /// - Throws: `usage`, naming the limit and its range.
        public func set(_ value: Int, in limits: inout Limits) throws(ApusError) {
            guard range.contains(value) else {
                throw ApusError(
                    .usage, "\(name) is \(value) \(unit), it may be \(range.lowerBound) to \(range.upperBound)")
            }
            limits[keyPath: path] = value
        }

        init(
            _ name: String, _ path: WritableKeyPath<Limits, Int>, _ unit: String, _ range: ClosedRange<Int>,
            _ meaning: String
        ) {
            self.name = name
            self.path = path
            self.unit = unit
            self.range = range
            self.meaning = meaning
        }
    }
}

extension Limits {
    private static let anyBytes = 1_024...(1 << 40)

    public static let table: [Row] = [
        Row(
            "max-connections", \.connectionsMax, "connections", 1...1_000_000,
            "Open connections. Those from elsewhere are told busy once all but loopback-reserve are taken. Beyond it the broker stops accepting; the kernel's backlog waits."
        ),
        Row(
            "max-connections-per-address", \.connectionsPerAddressMax, "connections", 1...1_000_000,
            "Open connections of one address (IPv6: of one /64) at a listener. Beyond it a new one is told busy and closed. Loopback is not counted, unless loopback-reserve is 0."
        ),
        Row(
            "connect-rate", \.connectRate, "connections", 1...1_000_000,
            "New connections a second of one address (IPv6: of one /64) at a listener, and as many at once. Beyond it a new one is told busy and closed. Loopback is not counted, unless loopback-reserve is 0."
        ),
        Row(
            "loopback-reserve", \.loopbackReserve, "connections", 0...1_000_000,
            "Of max-connections, those kept for loopback and Unix sockets, at most half. Beyond the rest a new one from elsewhere is told busy and closed."
        ),
        Row(
            "hello-time", \.helloSeconds, "seconds", 1...86_400,
            "From connecting to the end of the first whole frame, the TLS handshake included. Beyond it the connection ends with frame-timeout."
        ),
        Row(
            "idle-time", \.idleSeconds, "seconds", 0...31_536_000,
            "A connection without subscriptions and queries on which nothing came for so long gets goodbye. 0 is never."
        ),
        Row(
            "login-queue", \.loginQueueMax, "logins", 1...100_000,
            "Logins that wait to be checked; the addresses they come from take turns. Beyond it the newest one of the address with the most is refused with busy. As many more may wait for their delay, a quarter of them from one address."
        ),
        Row(
            "login-delay", \.loginDelaySeconds, "seconds", 0...3_600,
            "The longest delay of a login after failed ones of the same user from the same address: 0.25 s after the first, doubled by each."
        ),
        Row(
            "login-records", \.loginRecordsMax, "records", 1...1_000_000,
            "Users and addresses whose failed logins are remembered. Beyond it the one that failed longest ago is forgotten."
        ),
        Row(
            "max-header-bytes", \.headerBytesMax, "bytes", 128...65_535,
            "One frame's header. Beyond it the connection ends with header-too-large, before anything is allocated."),
        Row(
            "max-message-bytes", \.messageBytesMax, "bytes", 1...(1 << 30),
            "One message's payload. Beyond it the connection ends with message-too-large, before anything is allocated."
        ),
        Row(
            "receive-bytes", \.receiveBytesMax, "bytes", anyBytes,
            "Buffers of incomplete frames, in all. Beyond it the connections with the largest end with receive-budget."),
        Row(
            "frame-timeout", \.frameTimeoutSeconds, "seconds", 1...86_400,
            "From a frame's first byte to its last. Beyond it the connection ends with frame-timeout."),
        Row(
            "keep-alive", \.keepAliveSeconds, "seconds", 1...65_535,
            "The longest keep-alive that hello may ask for; more is cut to it. A peer silent for 1.5 times as long is dead."
        ),
        Row(
            "peer-timeout", \.peerTimeoutSeconds, "seconds", 1...86_400,
            "A peer whose machine acknowledges nothing for so long is dead. One that merely does not read is not."),
        Row(
            "publish-window-bytes", \.publishWindowBytes, "bytes", anyBytes,
            "Uncommitted messages of one connection, storage allocated for them. Beyond it the connection is not read."),
        Row(
            "uncommitted-bytes", \.uncommittedBytesMax, "bytes", anyBytes,
            "Uncommitted messages of all connections. Beyond it publishing connections are not read."),
        Row(
            "new-names-per-second", \.newNamesPerSecond, "names", 1...10_000_000,
            "Topics and encodings that the event loop has not seen lately, per connection. Beyond it the connection is read more slowly."
        ),
        Row(
            "max-answers", \.answersMax, "runs", 16...16_777_216,
            "Answers that wait for a publisher which does not read them. Beyond it the connection is not read."),
        Row(
            "max-headers", \.headersMax, "headers", 0...10_000,
            "Headers of one message. Beyond it the publish is refused with too-many."),
        Row(
            "batch-bytes", \.batchBytesMax, "bytes", anyBytes,
            "Messages of one commit. Beyond it the rest waits for the next one."),
        Row(
            "batch-rows", \.batchRowsMax, "messages", 1...1_000_000,
            "Messages of one commit. Beyond it the rest waits for the next one."),
        Row(
            "max-topics", \.topicsMax, "topics", 1...100_000_000,
            "Topics in the log. Beyond it publishes to new ones are refused with too-many."),
        Row(
            "max-encodings", \.encodingsMax, "encodings", 1...10_000_000,
            "Distinct encodings in the log. Beyond it publishes with new ones are refused with too-many."),
        Row(
            "max-publishers", \.publishersMax, "names", 1...10_000_000,
            "Publisher names remembered for deduplication. Beyond it a hello with a new one is refused with too-many."),
        Row(
            "publisher-idle", \.publisherIdleDays, "days", 1...36_500,
            "A publisher name not used for so long, as of the newest message, is forgotten, and with it its last id."),
        Row(
            "sync-delay", \.syncDelayMilliseconds, "milliseconds", 1...3_600_000,
            "The longest time that a message acknowledged as stored stays without an fsync."),
        Row(
            "busy-timeout", \.busyTimeoutSeconds, "seconds", 0...3_600,
            "How long a commit waits for another process that has locked the file. Beyond it publishes get log-busy."),
        Row(
            "wal-checkpoint", \.walCheckpointBytes, "bytes", 65_536...(1 << 40),
            "The write-ahead log's growth after which its pages are copied into the database file."),
        Row(
            "wal-pause", \.walPauseBytes, "bytes", 65_536...(1 << 40),
            "The write-ahead log's size at which the broker's own readers pause, so that one checkpoint completes."),
        Row(
            "wal-limit", \.walBytesMax, "bytes", 1_048_576...(1 << 44),
            "The write-ahead log's size beyond which publishes are refused with storage-full: somebody's reader pins it."
        ),
        Row(
            "name-cache", \.nameCacheEntries, "names", 16...16_777_216,
            "Topics kept in memory by the writer, and by each event loop. Others are looked up in the file."),
        Row(
            "name-cache-bytes", \.nameCacheBytes, "bytes", 65_536...(1 << 40),
            "Texts of topics that the writer keeps, and each of four readers; a part of it for other names and filters. Others are looked up in the file. Each event loop may keep as much of topics, of encodings, and of what topics go to."
        ),
        Row(
            "tail-bytes", \.tailBytesMax, "bytes", anyBytes,
            "The newest committed messages kept in memory, storage allocated. Older ones are read from the log."),
        Row(
            "outbox-bytes", \.outboxBytesMax, "bytes", 4_096...(1 << 34),
            "Bytes on their way to one connection. Beyond it its cursors pause; nothing is dropped."),
        Row(
            "page-bytes", \.pageBytesMax, "bytes", 4_096...(1 << 30),
            "Messages, or topics, read from the log at a time for a subscription that is behind, or for a query."),
        Row(
            "pages-bytes", \.pagesBytesMax, "bytes", 65_536...(1 << 40),
            "Pages read from the log and kept for others that read the same range. Beyond it the oldest go."),
        Row(
            "max-subscriptions", \.subscriptionsMax, "subscriptions", 1...1_000_000,
            "Subscriptions of one connection. Beyond it a subscribe is refused with too-many."),
        Row(
            "max-filters", \.filtersMax, "filters", 1...10_000,
            "Filters of one subscription. Beyond it a subscribe is refused with too-many."),
        Row(
            "max-filter-levels", \.filterLevelsMax, "levels", 1...1_024,
            "Levels of one filter. Beyond it a subscribe is refused with invalid-filter."),
        Row(
            "filters-bytes", \.filtersBytesMax, "bytes", 1_024...(1 << 30),
            "Filters of all subscriptions of one connection, with what finding them takes: 224 for each level. Beyond it a subscribe is refused with too-many."
        ),
        Row(
            "max-queries", \.queriesMax, "queries", 1...1_000,
            "Queries of one connection at a time. Beyond it a query is refused with too-many."),
        Row(
            "replies-bytes", \.repliesBytesMax, "bytes", 1_024...(1 << 30),
            "Replies that wait for a connection which does not read: the texts of refused publishes, and all but publish answers. Beyond it it is not read."
        ),
        Row(
            "http-connections", \.httpConnectionsMax, "connections", 1...100_000,
            "Open connections of the HTTP door. Beyond it it stops accepting; the kernel's backlog waits."),
        Row(
            "http-header-bytes", \.httpHeaderBytesMax, "bytes", 1_024...(1 << 20),
            "The header of one HTTP request, and one line of it. Beyond it the request is answered with 400."),
        Row(
            "http-timeout", \.httpTimeoutSeconds, "seconds", 1...3_600,
            "A connection of the HTTP door on which no request is answered for so long is closed, whatever it does."),
        Row(
            "drain-time", \.drainSeconds, "seconds", 0...3_600,
            "How long a stop waits for what is in flight. Beyond it connections are closed."),
    ]
}
