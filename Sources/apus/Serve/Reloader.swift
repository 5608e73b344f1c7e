internal import ApusBroker
internal import ApusModel
internal import ApusServer
internal import ApusSettings
internal import Logging

/// Reads the settings again: when SIGHUP asks for it, and when a file of them has changed. One at a time.
actor Reloader {
    private let loader: SettingsLoader
    private let parts: [Reloadable]
    private let logger: Logger
    private let observer: @Sendable (Event) -> Void
    /// What is in force. An option that needs a restart keeps its old value here, so that it is named again.
    private var settings: Settings
    private var watch: FileWatch
    /// What was said to need a restart. Said again when it is asked for, not at each change of another file.
    private var waiting: [SettingsDifference] = []
    /// What was said about a file that could not be read. It is tried again at each look: for want of descriptors, say,
    /// and who was removed has to be out as soon as that is over.
    private var unreadable: String?

    /// For who watches from outside.
    enum Event: Hashable, Sendable {
        case begins, ended
        case took(Gauges.File)
        case refused(Gauges.File)
    }

    /// How often the files are looked at. Not inotify: editors replace a file by another one, Kubernetes a folder behind
    /// two symbolic links, and network file systems tell nobody. What a name leads to now is one question for all.
    private static let lookNanoseconds: UInt64 = 1_000_000_000

    /// - Parameter watch: on ``Settings/watchedFiles``, from before they were read.
    init(
        settings: Settings, watch: FileWatch, loader: SettingsLoader, parts: [Reloadable], logger: Logger,
        observer: @escaping @Sendable (Event) -> Void = { _ in }
    ) {
        self.observer = observer
        self.settings = settings
        self.watch = watch
        self.loader = loader
        self.parts = parts
        self.logger = logger
    }

    /// Serves requests, one after the other, until the task is cancelled; it makes some itself, when a file changes.
    func run(_ requests: ReloadRequests) async {
        let watching = Task {
            while !Task.isCancelled {
                try? await Task.sleep(nanoseconds: Reloader.lookNanoseconds)
                let changed = watch.look()
                if !changed.isEmpty {
                    requests.add("changed: \(changed.joined(separator: ", "))")
                } else if unreadable != nil {
                    _ = await takeOverAlone("tried again")
                }
            }
        }
        for await reason in requests.stream { await reload(because: reason) }
        watching.cancel()
    }

    /// - Parameter reason: for the log.
    private func reload(because reason: String) async {
        observer(.begins)
        defer { observer(.ended) }
        // What changes from here on is seen at the next look.
        watch.settle()
        let isQuiet = await takeOverAlone(reason)
        let new: Settings
        do throws(SettingsFailure) {
            let loaded = try loader.load()
            for warning in loaded.warnings { logger.warning("\(warning)") }
            _ = try Broker.Configuration(loaded.settings, access: OpenAccess(), logger: logger)
            new = loaded.settings
        } catch {
            return refuse(.configuration, reason, error.lines)
        }
        do throws(ApusError) {
            try await takeOver(new, reason, isQuiet: isQuiet)
        } catch {
            refuse(.configuration, reason, [error.messageAndHint])
        }
    }

    private func refuse(_ file: Gauges.File, _ reason: String, _ problems: [String]) {
        observer(.refused(file))
        let what =
            switch file {
            case .configuration: "the configuration"
            case .users: "the file of users"
            }
        logger.error("\(what) is not reloaded: nothing of it is changed", metadata: ["reason": "\(reason)"])
        for problem in problems { logger.error("\(problem)") }
    }

    /// - Returns: whether there was nothing to be said.
    private func takeOverAlone(_ reason: String) async -> Bool {
        var isQuiet = true
        for part in parts where part.file != .configuration {
            do throws(ApusError) {
                let changes = try await part.prepare(settings, settings)()
                observer(.took(part.file))
                for change in changes {
                    logger.log(level: change.level, "\(change.what)", metadata: change.metadata)
                    isQuiet = false
                }
                unreadable = nil
            } catch {
                isQuiet = false
                let isTriedAgain = error.code == .input
                guard !isTriedAgain || error.message != unreadable else { continue }
                unreadable = isTriedAgain ? error.message : nil
                refuse(part.file, reason, [error.messageAndHint])
            }
        }
        return isQuiet
    }

    private func takeOver(_ new: Settings, _ reason: String, isQuiet: Bool) async throws(ApusError) {
        var ready: [Reloadable.TakeOver] = []
        for part in parts where part.file == .configuration { ready.append(try await part.prepare(settings, new)) }
        let changes = ready.flatMap { $0() }
        observer(.took(.configuration))
        for change in changes { logger.log(level: change.level, "\(change.what)", metadata: change.metadata) }
        let waiting = SettingsDifference.needingRestart(settings, new)
        let isKnown = waiting == self.waiting && reason != ReloadRequests.signal
        self.waiting = waiting
        for difference in waiting where !isKnown {
            logger.warning(
                "\(difference.key) is changed and needs a restart",
                metadata: ["from": "\(difference.old)", "to": "\(difference.new)"])
        }
        if changes.isEmpty, waiting.isEmpty, isQuiet {
            logger.notice("the configuration is read again: nothing is changed", metadata: ["reason": "\(reason)"])
        }
        settings.logLevel = new.logLevel
        settings.logFormat = new.logFormat
    }
}

/// Why the settings are to be read again. Requests that come while one is served are one.
struct ReloadRequests: Sendable {
    let stream: AsyncStream<String>
    private let continuation: AsyncStream<String>.Continuation

    init() { (stream, continuation) = AsyncStream<String>.makeStream(bufferingPolicy: .bufferingNewest(1)) }

    /// The reason of who asks for it, and wants to hear all.
    static let signal = "SIGHUP"

    func add(_ reason: String) { continuation.yield(reason) }
    func finish() { continuation.finish() }
}
