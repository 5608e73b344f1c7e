internal import Logging

/// The broker's own log, on standard error.
enum ServeLog {
    static func logger(level: Logger.Level) -> Logger {
        var logger = Logger(label: "apus", factory: { StreamLogHandler.standardError(label: $0) })
        logger.logLevel = level
        return logger
    }
}
