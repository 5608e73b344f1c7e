internal import ApusBroker
internal import ApusModel
internal import Atomics

/// What `status` answers: the log's figures, and the broker's.
struct StatusReport: Sendable {
    let figures: BrokerFigures
    let cursors: ManagedAtomic<Int>

    func json(_ log: LogStatus) -> JSON {
        func number(_ value: Int) -> JSON { .integer(Int64(value)) }
        func time(_ value: Microseconds?) -> JSON { value.map { .string(Timestamp.text($0)) } ?? .null }
        let limits = Limits.table.map {
            JSON.Member($0.name, .integer(Int64($0.value(in: figures.configuration.limits))))
        }
        let counts = figures.logins.counts
        let traffic = figures.metrics.allDoors
        let loops = figures.board.latest
        let errors = figures.gauges.errors.sorted { $0.key.rawValue < $1.key.rawValue }
        return .object([
            JSON.Member("version", .string(figures.configuration.version)),
            JSON.Member("started", .string(Timestamp.text(figures.started))),
            JSON.Member("log", .string(log.log)),
            JSON.Member("path", .string(log.path)),
            JSON.Member("head", .unsigned(log.head)),
            JSON.Member("first", .unsigned(log.first)),
            JSON.Member("topics", number(log.topics)),
            JSON.Member("encodings", number(log.encodings)),
            JSON.Member("publishers", number(log.publishers)),
            JSON.Member("file-bytes", number(log.fileBytes)),
            JSON.Member("free-bytes", number(log.freeBytes)),
            JSON.Member("wal-bytes", number(log.walBytes)),
            JSON.Member("wal-used-bytes", number(log.walUsedBytes)),
            JSON.Member("wal-pinned-since", time(log.writer.pinnedSince)),
            JSON.Member("last-checkpoint", time(log.writer.checkpointedAt)),
            JSON.Member("last-checkpoint-microseconds", .integer(log.writer.checkpointMicroseconds)),
            JSON.Member("busy-waits", number(log.writer.busyWaits)),
            JSON.Member("busy-microseconds", .integer(log.writer.busyMicroseconds)),
            JSON.Member("sqlite", .string(log.sqliteVersion)),
            JSON.Member("connections", number(figures.admission.open)),
            JSON.Member(
                "rejected-connections",
                .object(
                    Gauges.Rejection.allCases.map { JSON.Member($0.rawValue, number(figures.gauges.rejected[$0] ?? 0)) }
                )),
            JSON.Member("cursors", number(cursors.load(ordering: .relaxed))),
            JSON.Member("messages-in", number(traffic.messagesIn)),
            JSON.Member("messages-out", number(traffic.messagesOut)),
            JSON.Member("bytes-in", number(traffic.bytesIn)),
            JSON.Member("bytes-out", number(traffic.bytesOut)),
            JSON.Member("commits", number(figures.metrics.commitMessages.snapshot.count)),
            JSON.Member("cursors-behind-tail", number(loops.cursorsBehindTail)),
            JSON.Member("lag-max", .unsigned(loops.lagMax)),
            JSON.Member("slowest-cursors", .array(loops.slowest.map(StatusReport.json))),
            JSON.Member("uncommitted-bytes", number(figures.intake.uncommittedBytes)),
            JSON.Member("logins", number(counts.accepted)),
            JSON.Member("logins-refused", number(counts.refused)),
            JSON.Member("logins-busy", number(counts.busy)),
            JSON.Member(
                "errors", .object(errors.map { JSON.Member($0.key.rawValue, number($0.value)) })),
            JSON.Member("wal-pinned-by", .array(log.writer.pinnedBy.map(number))),
            JSON.Member("limits", .object(limits)),
        ])
    }

    private static func json(_ cursor: CursorStanding) -> JSON {
        .object([
            JSON.Member("connection", .string("\(cursor.connection.hub).\(cursor.connection.number)")),
            JSON.Member("subscription", .integer(Int64(cursor.subscription))),
            JSON.Member("lag", .unsigned(cursor.lag)),
            JSON.Member("behind-tail", .bool(cursor.isBehindTail)),
            JSON.Member("waits-for", .string(cursor.wait.rawValue)),
        ])
    }
}
