internal import ApusModel
internal import ArgumentParser

/// A flag for each limit. A test checks that none is missing.
struct LimitOptions: ParsableArguments {
    @Option(help: help("max-connections"))
    var maxConnections: LimitValue?

    @Option(help: help("max-connections-per-address"))
    var maxConnectionsPerAddress: LimitValue?

    @Option(help: help("connect-rate"))
    var connectRate: LimitValue?

    @Option(help: help("loopback-reserve"))
    var loopbackReserve: LimitValue?

    @Option(help: help("hello-time"))
    var helloTime: LimitValue?

    @Option(help: help("idle-time"))
    var idleTime: LimitValue?

    @Option(help: help("login-queue"))
    var loginQueue: LimitValue?

    @Option(help: help("login-delay"))
    var loginDelay: LimitValue?

    @Option(help: help("login-records"))
    var loginRecords: LimitValue?

    @Option(help: help("max-header-bytes"))
    var maxHeaderBytes: LimitValue?

    @Option(help: help("max-message-bytes"))
    var maxMessageBytes: LimitValue?

    @Option(help: help("receive-bytes"))
    var receiveBytes: LimitValue?

    @Option(help: help("frame-timeout"))
    var frameTimeout: LimitValue?

    @Option(help: help("keep-alive"))
    var keepAlive: LimitValue?

    @Option(help: help("peer-timeout"))
    var peerTimeout: LimitValue?

    @Option(help: help("publish-window-bytes"))
    var publishWindowBytes: LimitValue?

    @Option(help: help("uncommitted-bytes"))
    var uncommittedBytes: LimitValue?

    @Option(help: help("new-names-per-second"))
    var newNamesPerSecond: LimitValue?

    @Option(help: help("max-answers"))
    var maxAnswers: LimitValue?

    @Option(help: help("max-headers"))
    var maxHeaders: LimitValue?

    @Option(help: help("batch-bytes"))
    var batchBytes: LimitValue?

    @Option(help: help("batch-rows"))
    var batchRows: LimitValue?

    @Option(help: help("max-topics"))
    var maxTopics: LimitValue?

    @Option(help: help("max-encodings"))
    var maxEncodings: LimitValue?

    @Option(help: help("max-publishers"))
    var maxPublishers: LimitValue?

    @Option(help: help("publisher-idle"))
    var publisherIdle: LimitValue?

    @Option(help: help("sync-delay"))
    var syncDelay: LimitValue?

    @Option(help: help("busy-timeout"))
    var busyTimeout: LimitValue?

    @Option(help: help("wal-checkpoint"))
    var walCheckpoint: LimitValue?

    @Option(help: help("wal-pause"))
    var walPause: LimitValue?

    @Option(help: help("wal-limit"))
    var walLimit: LimitValue?

    @Option(help: help("name-cache"))
    var nameCache: LimitValue?

    @Option(help: help("name-cache-bytes"))
    var nameCacheBytes: LimitValue?

    @Option(help: help("tail-bytes"))
    var tailBytes: LimitValue?

    @Option(help: help("outbox-bytes"))
    var outboxBytes: LimitValue?

    @Option(help: help("page-bytes"))
    var pageBytes: LimitValue?

    @Option(help: help("pages-bytes"))
    var pagesBytes: LimitValue?

    @Option(help: help("max-subscriptions"))
    var maxSubscriptions: LimitValue?

    @Option(help: help("max-filters"))
    var maxFilters: LimitValue?

    @Option(help: help("max-filter-levels"))
    var maxFilterLevels: LimitValue?

    @Option(help: help("filters-bytes"))
    var filtersBytes: LimitValue?

    @Option(help: help("max-queries"))
    var maxQueries: LimitValue?

    @Option(help: help("replies-bytes"))
    var repliesBytes: LimitValue?

    @Option(help: help("http-connections"))
    var httpConnections: LimitValue?

    @Option(help: help("http-header-bytes"))
    var httpHeaderBytes: LimitValue?

    @Option(help: help("http-timeout"))
    var httpTimeout: LimitValue?

    @Option(help: help("drain-time"))
    var drainTime: LimitValue?

    private static func help(_ name: String) -> ArgumentHelp {
        guard let row = Limits.table.first(where: { $0.name == name }) else { return "" }
        return ArgumentHelp(
            "\(row.meaning) (default: \(row.value(in: .defaults)))", valueName: row.unit)
    }

    /// By the limit's name: what was given.
    var given: [(name: String, value: LimitValue?)] {
        [
            ("max-connections", maxConnections),
            ("max-connections-per-address", maxConnectionsPerAddress),
            ("connect-rate", connectRate),
            ("loopback-reserve", loopbackReserve),
            ("hello-time", helloTime),
            ("idle-time", idleTime),
            ("login-queue", loginQueue),
            ("login-delay", loginDelay),
            ("login-records", loginRecords),
            ("max-header-bytes", maxHeaderBytes),
            ("max-message-bytes", maxMessageBytes),
            ("receive-bytes", receiveBytes),
            ("frame-timeout", frameTimeout),
            ("keep-alive", keepAlive),
            ("peer-timeout", peerTimeout),
            ("publish-window-bytes", publishWindowBytes),
            ("uncommitted-bytes", uncommittedBytes),
            ("new-names-per-second", newNamesPerSecond),
            ("max-answers", maxAnswers),
            ("max-headers", maxHeaders),
            ("batch-bytes", batchBytes),
            ("batch-rows", batchRows),
            ("max-topics", maxTopics),
            ("max-encodings", maxEncodings),
            ("max-publishers", maxPublishers),
            ("publisher-idle", publisherIdle),
            ("sync-delay", syncDelay),
            ("busy-timeout", busyTimeout),
            ("wal-checkpoint", walCheckpoint),
            ("wal-pause", walPause),
            ("wal-limit", walLimit),
            ("name-cache", nameCache),
            ("name-cache-bytes", nameCacheBytes),
            ("tail-bytes", tailBytes),
            ("outbox-bytes", outboxBytes),
            ("page-bytes", pageBytes),
            ("pages-bytes", pagesBytes),
            ("max-subscriptions", maxSubscriptions),
            ("max-filters", maxFilters),
            ("max-filter-levels", maxFilterLevels),
            ("filters-bytes", filtersBytes),
            ("max-queries", maxQueries),
            ("replies-bytes", repliesBytes),
            ("http-connections", httpConnections),
            ("http-header-bytes", httpHeaderBytes),
            ("http-timeout", httpTimeout),
            ("drain-time", drainTime),
        ]
    }
}

/// What stands behind a limit's flag: it is read with the other layers of the settings, which know the limit's unit.
struct LimitValue: ExpressibleByArgument {
    let text: String

    init?(argument: String) { text = argument }
}
