internal import ApusBroker
internal import ApusModel
internal import NIOCore

/// Everything that the broker tells of itself to who watches it: collected when somebody asks.
struct BrokerFigures: Sendable {
    let metrics: BrokerMetrics
    let gauges: Gauges
    let logins: Authenticator
    let admission: Admission
    let intake: Intake
    let pages: PageReader
    let board: LoopBoard
    let log: any LogQueries
    let configuration: Broker.Configuration
    let started = wallClock()

    /// So long a busy event loop is waited for; its last figures stand in for it then.
    private static let patienceSeconds = 2.0

    /// Reads the log once and asks every loop: blocks for a moment, so never on an event loop.
    func families() -> [MetricFamily] {
        let loops = board.gather(timeoutSeconds: BrokerFigures.patienceSeconds) ?? board.latest
        let status = try? log.status()
        return traffic() + commits() + memory(loops) + connections(loops) + cursors(loops)
            + (status.map(logFamilies) ?? []) + health() + process(sqlite: status?.sqliteVersion ?? "")
    }

    private func traffic() -> [MetricFamily] {
        let doors = DoorName.allCases.map { ($0.rawValue, metrics.figures(of: $0)) }
        let errors = gauges.errors
        return [
            MetricFamily(.messagesIn, by: "door", doors.map { ($0.0, $0.1.messagesIn) }),
            MetricFamily(.messagesOut, by: "door", doors.map { ($0.0, $0.1.messagesOut) }),
            MetricFamily(.bytesIn, by: "door", doors.map { ($0.0, $0.1.bytesIn) }),
            MetricFamily(.bytesOut, by: "door", doors.map { ($0.0, $0.1.bytesOut) }),
            // Also those that never occurred: a rate needs the 0 before the first one.
            MetricFamily(.errors, by: "code", ApusError.Code.allCases.map { ($0.rawValue, errors[$0] ?? 0) }),
            MetricFamily(
                .dropped, by: "reason", Gap.Reason.allCases.map { ($0.rawValue, gauges.dropped[$0] ?? 0) }),
        ]
    }

    private func commits() -> [MetricFamily] {
        [
            MetricFamily(.commitDuration, metrics.commitDuration),
            MetricFamily(.commitMessages, metrics.commitMessages),
            MetricFamily(.commitBytes, metrics.commitBytes),
            MetricFamily(.syncDuration, metrics.syncDuration),
        ]
    }

    private func memory(_ loops: LoopFigures) -> [MetricFamily] {
        [
            MetricFamily(.uncommittedBytes, intake.uncommittedBytes),
            MetricFamily(.tailBytes, loops.tailBytes),
            MetricFamily(.pageBytes, pages.cachedBytes),
            MetricFamily(.receiveBytes, loops.receiveBytes),
        ]
    }

    private func connections(_ loops: LoopFigures) -> [MetricFamily] {
        let counts = logins.counts
        return [
            MetricFamily(.connections, admission.open),
            MetricFamily(.connectionsAccepted, metrics.connectionsAccepted.value),
            MetricFamily(
                .connectionsRefused, by: "reason",
                Gauges.Rejection.allCases.map { ($0.rawValue, gauges.rejected[$0] ?? 0) }),
            MetricFamily(
                .logins, by: "outcome",
                [("accepted", counts.accepted), ("refused", counts.refused), ("busy", counts.busy)]),
            MetricFamily(.pausedPublishers, loops.pausedPublishers),
            MetricFamily(
                .queries, by: "select",
                [
                    ("history", metrics.historyQueries.value), ("topics", metrics.topicsQueries.value),
                    ("status", metrics.statusQueries.value),
                ]),
        ]
    }

    private func cursors(_ loops: LoopFigures) -> [MetricFamily] {
        [
            MetricFamily(.cursors, loops.cursors), MetricFamily(.cursorsBehind, loops.cursorsBehindTail),
            MetricFamily(.cursorLag, Double(loops.lagMax)),
        ]
    }

    private func logFamilies(_ log: LogStatus) -> [MetricFamily] {
        [
            MetricFamily(.logHead, Double(log.head)), MetricFamily(.logFirst, Double(log.first)),
            MetricFamily(.logBytes, log.fileBytes), MetricFamily(.unusedBytes, log.freeBytes),
            MetricFamily(.walBytes, log.walBytes), MetricFamily(.walUsedBytes, log.walUsedBytes),
            MetricFamily(.walPinned, log.writer.pinnedSince.map { Double(wallClock() - $0) / 1e6 } ?? 0),
            MetricFamily(.checkpoint, Double(log.writer.checkpointMicroseconds) / 1e6),
            MetricFamily(.busyWaits, log.writer.busyWaits),
            MetricFamily(.busyTime, Double(log.writer.busyMicroseconds) / 1e6),
        ]
            + (ProcessFigures.freeBytes(beside: log.path).map { [MetricFamily(.freeBytes, $0)] } ?? [])
            + [
                MetricFamily(.topics, log.topics), MetricFamily(.encodings, log.encodings),
                MetricFamily(.publishers, log.publishers),
            ]
    }

    private func health() -> [MetricFamily] {
        let reasons = metrics.health.reasons(now: .now())
        let refused = gauges.refusedFiles
        return [
            MetricFamily(.ready, reasons.isEmpty ? 1 : 0),
            MetricFamily(.notReady, by: "reason", reasons.map { ($0.code, 1) }),
            MetricFamily(
                .reloadRefused, by: "file",
                Gauges.File.allCases.map { ($0.rawValue, refused.contains($0) ? 1 : 0) }),
        ]
    }

    private func process(sqlite: String) -> [MetricFamily] {
        let process = ProcessFigures.read()
        let limits = Limits.table.map { ($0.name, $0.value(in: configuration.limits)) }
        let build = MetricFamily.Sample(
            labels: [("version", configuration.version), ("sqlite", sqlite)], value: .number(1))
        return [
            MetricFamily(.limits, by: "limit", limits), MetricFamily(.build, [build]),
            process.residentBytes.map { MetricFamily(.resident, $0) }, MetricFamily(.cpu, process.cpuSeconds),
            process.descriptors.map { MetricFamily(.descriptors, $0) },
            process.descriptorsMax.map { MetricFamily(.descriptorsMax, $0) },
            MetricFamily(.started, Double(started) / 1e6),
        ].compactMap(\.self)
    }
}
