internal import ApusModel
internal import ApusSettings
internal import Atomics
internal import Glibc
internal import Logging
internal import NIOConcurrencyHelpers

/// How the broker's own log is written, on standard error. Both can change while it runs.
///
/// A level is asked for at every call of a logger: hence atomics, not a lock.
final class LogControl: Sendable {
    private let levelIndex: ManagedAtomic<Int>
    private let isJSON: ManagedAtomic<Bool>
    private let descriptor: Int32
    /// Lines of several threads never mix, even where the system takes one in pieces.
    private let writing = NIOLock()

    init(level: Logger.Level = .notice, format: LogFormat = .text, descriptor: Int32 = STDERR_FILENO) {
        levelIndex = ManagedAtomic(LogControl.index(level))
        isJSON = ManagedAtomic(format == .json)
        self.descriptor = descriptor
    }

    private static func index(_ level: Logger.Level) -> Int { Logger.Level.allCases.firstIndex(of: level) ?? 0 }

    var level: Logger.Level {
        get { Logger.Level.allCases[levelIndex.load(ordering: .relaxed)] }
        set { levelIndex.store(LogControl.index(newValue), ordering: .relaxed) }
    }

    var format: LogFormat {
        get { isJSON.load(ordering: .relaxed) ? .json : .text }
        set { isJSON.store(newValue == .json, ordering: .relaxed) }
    }

    func logger(_ label: String = "apus") -> Logger {
        Logger(label: label, factory: { ServeLogHandler(label: $0, control: self) })
    }

    /// What is said whatever the level: where it listens, that it stops. For people a line as it is; among lines of
    /// JSON one of them.
    func announce(_ text: String) {
        guard format == .json else { return Console.line(text) }
        write(LogLine(time: LocalTime.now(), level: .notice, label: "apus", message: text, metadata: [:]))
    }

    /// Why it ends.
    func fail(_ error: ApusError) {
        guard format == .json else { return Console.error(error) }
        let metadata: Logger.Metadata = ["code": "\(error.code.rawValue)"]
        write(
            LogLine(
                time: LocalTime.now(), level: .critical, label: "apus", message: error.messageAndHint,
                metadata: metadata))
    }

    /// One write for one line.
    func write(_ line: LogLine) {
        let bytes = format == .json ? line.json : line.text
        // Where nobody can be told any more, the broker goes on.
        writing.withLock { _ = bytes.withUnsafeBytes { FileIO.writeAll($0, to: descriptor) } }
    }
}

/// Hands every event to ``LogControl`` as one line.
struct ServeLogHandler: LogHandler {
    let label: String
    let control: LogControl
    var metadata: Logger.Metadata = [:]
    var metadataProvider: Logger.MetadataProvider?
    /// Of this logger alone, whatever the control says.
    private var ownLevel: Logger.Level?

    init(label: String, control: LogControl) {
        self.label = label
        self.control = control
    }

    var logLevel: Logger.Level {
        get { ownLevel ?? control.level }
        set { ownLevel = newValue }
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        control.write(
            LogLine(
                time: LocalTime.now(), level: event.level, label: label, message: event.message.description,
                metadata: merged(event)))
    }

    /// What is said here wins over the provider, the provider over the logger.
    private func merged(_ event: LogEvent) -> Logger.Metadata {
        var all = metadata
        if let provided = metadataProvider?.get() { all.merge(provided) { $1 } }
        if let given = event.metadata { all.merge(given) { $1 } }
        if let error = event.error { all["error"] = all["error"] ?? "\(error)" }
        return all
    }
}
