package import Logging

/// What was logged, line by line: level, message, metadata. Tests wait for a line.
package final class RecordingLog: Sendable {
    private let recorded = Watched<[String]>([])
    private let level: Logger.Level

    /// - Parameter level: of what is kept.
    package init(level: Logger.Level = .info) { self.level = level }

    package var lines: [String] { recorded.value }

    package var logger: Logger {
        var logger = Logger(label: "test") { _ in Handler(log: self) }
        logger.logLevel = level
        return logger
    }

    package func wait(_ what: String, until isDone: ([String]) -> Bool) throws {
        try recorded.wait(what, until: isDone)
    }

    private struct Handler: LogHandler {
        let log: RecordingLog
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.info

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            let all = metadata.merging(event.metadata ?? [:]) { $1 }
            let text = all.map { "\($0)=\($1)" }.sorted().joined(separator: " ")
            log.recorded.change { $0.append("\(event.level) \(event.message) \(text)") }
        }
    }
}
