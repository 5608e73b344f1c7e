internal import ApusModel
internal import ArgumentParser

/// A flag for each limit. A test checks that none is missing.
struct LimitOptions: ParsableArguments {
    @Option(help: help("max-connections"))
    var maxConnections: LimitValue?

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

    @Option(help: help("max-queries"))
    var maxQueries: LimitValue?

    @Option(help: help("replies-bytes"))
    var repliesBytes: LimitValue?

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
            ("max-queries", maxQueries),
            ("replies-bytes", repliesBytes),
            ("drain-time", drainTime),
        ]
    }

    /// - Throws: `usage`, naming the limit and its range.
    func limits() throws(ApusError) -> Limits {
        var limits = Limits.defaults
        for (name, value) in given {
            guard let value, let row = Limits.table.first(where: { $0.name == name }) else { continue }
            try row.set(value.number, in: &limits)
        }
        return limits
    }
}

/// A number, or one with K, M, G or T behind it (with or without iB): powers of 1,024.
struct LimitValue: ExpressibleByArgument {
    let number: Int

    init?(argument: String) {
        var digits = argument[...]
        var scale = 1
        if digits.hasSuffix("iB") { digits = digits.dropLast(2) }
        if let unit = digits.last, let power = "KMGT".firstIndex(of: unit) {
            scale = 1 << (10 * ("KMGT".distance(from: "KMGT".startIndex, to: power) + 1))
            digits = digits.dropLast()
        }
        guard digits.count == argument.count || scale > 1, let value = Int(digits) else { return nil }
        let (product, overflow) = value.multipliedReportingOverflow(by: scale)
        guard !overflow else { return nil }
        number = product
    }
}
