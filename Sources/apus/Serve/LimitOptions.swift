internal import ApusModel
internal import ArgumentParser

/// A flag for each limit. A test checks that none is missing.
struct LimitOptions: ParsableArguments {
    @Option(help: help("max-connections"))
    var maxConnections: Int?

    @Option(help: help("max-header-bytes"))
    var maxHeaderBytes: Int?

    @Option(help: help("max-message-bytes"))
    var maxMessageBytes: Int?

    @Option(help: help("receive-bytes"))
    var receiveBytes: Int?

    @Option(help: help("frame-timeout"))
    var frameTimeout: Int?

    @Option(help: help("keep-alive"))
    var keepAlive: Int?

    @Option(help: help("peer-timeout"))
    var peerTimeout: Int?

    @Option(help: help("publish-window-bytes"))
    var publishWindowBytes: Int?

    @Option(help: help("uncommitted-bytes"))
    var uncommittedBytes: Int?

    @Option(help: help("new-names-per-second"))
    var newNamesPerSecond: Int?

    @Option(help: help("max-answers"))
    var maxAnswers: Int?

    @Option(help: help("max-headers"))
    var maxHeaders: Int?

    @Option(help: help("batch-bytes"))
    var batchBytes: Int?

    @Option(help: help("batch-rows"))
    var batchRows: Int?

    @Option(help: help("max-topics"))
    var maxTopics: Int?

    @Option(help: help("max-encodings"))
    var maxEncodings: Int?

    @Option(help: help("max-publishers"))
    var maxPublishers: Int?

    @Option(help: help("publisher-idle"))
    var publisherIdle: Int?

    @Option(help: help("sync-delay"))
    var syncDelay: Int?

    @Option(help: help("busy-timeout"))
    var busyTimeout: Int?

    @Option(help: help("wal-checkpoint"))
    var walCheckpoint: Int?

    @Option(help: help("wal-pause"))
    var walPause: Int?

    @Option(help: help("wal-limit"))
    var walLimit: Int?

    @Option(help: help("name-cache"))
    var nameCache: Int?

    @Option(help: help("tail-bytes"))
    var tailBytes: Int?

    @Option(help: help("outbox-bytes"))
    var outboxBytes: Int?

    @Option(help: help("page-bytes"))
    var pageBytes: Int?

    @Option(help: help("pages-bytes"))
    var pagesBytes: Int?

    @Option(help: help("max-subscriptions"))
    var maxSubscriptions: Int?

    @Option(help: help("max-filters"))
    var maxFilters: Int?

    @Option(help: help("max-filter-levels"))
    var maxFilterLevels: Int?

    @Option(help: help("max-queries"))
    var maxQueries: Int?

    @Option(help: help("replies-bytes"))
    var repliesBytes: Int?

    @Option(help: help("drain-time"))
    var drainTime: Int?

    private static func help(_ name: String) -> ArgumentHelp {
        guard let row = Limits.table.first(where: { $0.name == name }) else { return "" }
        return ArgumentHelp(
            "\(row.meaning) (default: \(row.value(in: .defaults)))", valueName: row.unit)
    }

    /// By the limit's name: what was given.
    private var given: [(name: String, value: Int?)] {
        [
            ("max-connections", maxConnections),
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
            ("tail-bytes", tailBytes),
            ("outbox-bytes", outboxBytes),
            ("page-bytes", pageBytes),
            ("pages-bytes", pagesBytes),
            ("max-subscriptions", maxSubscriptions),
            ("max-filters", maxFilters),
            ("max-filter-levels", maxFilterLevels),
            ("max-queries", maxQueries),
            ("replies-bytes", repliesBytes),
            ("drain-time", drainTime),
        ]
    }

    /// The names of the limits that have a flag.
    static var names: [String] { LimitOptions().given.map(\.name) }

    /// - Throws: `usage`, naming the limit and its range.
    func limits() throws(ApusError) -> Limits {
        var limits = Limits.defaults
        for (name, value) in given {
            guard let value, let row = Limits.table.first(where: { $0.name == name }) else { continue }
            try row.set(value, in: &limits)
        }
        return limits
    }
}
