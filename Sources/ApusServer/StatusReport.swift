internal import ApusBroker
internal import ApusModel
internal import Atomics

/// What `status` answers: the log's figures, and the broker's.
struct StatusReport: Sendable {
    let configuration: Broker.Configuration
    let admission: Admission
    let intake: Intake
    let gauges: Gauges
    let logins: Authenticator
    let cursors: ManagedAtomic<Int>
    let started = wallClock()

    func json(_ log: LogStatus) -> JSON {
        func number(_ value: Int) -> JSON { .integer(Int64(value)) }
        func time(_ value: Microseconds?) -> JSON { value.map { .string(Timestamp.text($0)) } ?? .null }
        let limits = Limits.table.map {
            JSON.Member($0.name, .integer(Int64($0.value(in: configuration.limits))))
        }
        let counts = logins.counts
        let errors = gauges.errors.sorted { $0.key.rawValue < $1.key.rawValue }
        return .object([
            JSON.Member("version", .string(configuration.version)),
            JSON.Member("started", .string(Timestamp.text(started))),
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
            JSON.Member("wal-pinned-since", time(log.writer.pinnedSince)),
            JSON.Member("last-checkpoint", time(log.writer.checkpointedAt)),
            JSON.Member("last-checkpoint-microseconds", .integer(log.writer.checkpointMicroseconds)),
            JSON.Member("busy-waits", number(log.writer.busyWaits)),
            JSON.Member("busy-microseconds", .integer(log.writer.busyMicroseconds)),
            JSON.Member("sqlite", .string(log.sqliteVersion)),
            JSON.Member("connections", number(admission.open)),
            JSON.Member("cursors", number(cursors.load(ordering: .relaxed))),
            JSON.Member("uncommitted-bytes", number(intake.uncommittedBytes)),
            JSON.Member("logins", number(counts.accepted)),
            JSON.Member("logins-refused", number(counts.refused)),
            JSON.Member("logins-busy", number(counts.busy)),
            JSON.Member(
                "errors", .object(errors.map { JSON.Member($0.key.rawValue, number($0.value)) })),
            JSON.Member("wal-pinned-by", .array(log.writer.pinnedBy.map(number))),
            JSON.Member("limits", .object(limits)),
        ])
    }
}
