package import ApusBroker
package import ApusModel
package import Logging

/// The log: one SQLite file, one writer, readers beside it.
package final class Store: LogStore, LogQueries {
    /// Where the log lies, without symbolic links.
    package let path: String

    private let lock: FileLock
    private let writer: LogWriter
    /// For subscriptions that are behind.
    private let pages: ReaderPool
    /// For people's queries: apart, so that they never wait for each other.
    private let queries: ReaderPool

    /// Opens the log at `path`, creating it where there is none. Where it throws, nothing new lies there.
    ///
    /// - Parameters:
    ///   - migrate: whether a log of an older schema is brought up to date, after a copy of it has been written.
    ///   - schema: another one than the current is for tests of upgrading; so is `freeBytes`, what may still be written
    ///     beside a path.
    /// - Throws: `log-foreign`, `log-newer`, `log-older`, `log-damaged`, `log-locked`, `storage-full`, `input-output`:
    ///   what, where, what to do.
    package static func open(
        path: String, limits: Limits, migrate: Bool = true, logger: Logger,
        clock: @escaping @Sendable () -> Microseconds = Clocks.wall,
        monotonic: @escaping @Sendable () -> Microseconds = Clocks.monotonic, schema: Schema = .current,
        freeBytes: (@Sendable (String) -> Int?)? = nil
    ) throws(ApusError) -> Store {
        let file = LogFile(path: try FileSystem.realPath(path))
        var rules = OpeningRules(schema: schema, migrates: migrate, logger: logger, monotonic: monotonic)
        if let freeBytes { rules.freeBytes = freeBytes }
        // Before anything is created beside a file that is somebody else's; again under the lock.
        try file.check(try file.examine(schema), rules)
        let lock = try FileLock(forLogAt: file.path)
        do throws(ApusError) {
            let writer = try openWriter(file, limits: limits, rules, clock: clock)
            let store = Store(file: file, lock: lock, writer: writer, limits: limits, clock: clock)
            do throws(ApusError) {
                // Now: when connections have taken the last descriptor, subscriptions can still fall behind.
                try store.pages.open()
                try store.queries.open()
            } catch {
                try? store.closeConnections()
                throw error
            }
            return store
        } catch {
            lock.withdraw()
            throw error
        }
    }

    private static func openWriter(
        _ file: LogFile, limits: Limits, _ rules: OpeningRules, clock: @escaping @Sendable () -> Microseconds
    ) throws(ApusError) -> LogWriter {
        let isNew = if case .nothing = try FileSystem.kind(of: file.path) { true } else { false }
        let state = try file.examine(rules.schema)
        try file.check(state, rules)
        do throws(ApusError) {
            return try LogWriter.open(file: file, state: state, limits: limits, rules: rules, clock: clock)
        } catch {
            // Half of a log is of no use to anybody, and the lock says that nobody else has begun to use it.
            if isNew {
                for path in [file.walPath, file.shmPath, file.journalPath, file.path] { try? FileSystem.remove(path) }
            }
            throw error
        }
    }

    private init(
        file: LogFile, lock: FileLock, writer: LogWriter, limits: Limits, clock: @escaping @Sendable () -> Microseconds
    ) {
        path = file.path
        self.lock = lock
        self.writer = writer
        let settings = ReaderSettings(file: file, use: .read, limits: limits, shared: writer.shared, clock: clock)
        pages = ReaderPool(settings: settings, readersMax: 2)
        queries = ReaderPool(settings: settings, readersMax: 2)
    }
}

extension Store {
    package var head: Seq { writer.shared.head }

    package func append(_ items: [IntakeItem]) throws(ApusError) -> CommitOutcome {
        try writer.confined { () throws(ApusError) in try writer.append(items) }
    }

    package func rest() throws(ApusError) -> Int64? {
        try writer.confined { () throws(ApusError) in try writer.rest() }
    }

    package func page(_ request: PageRequest) throws(ApusError) -> MessageBatch {
        try pages.read { (reader) throws(ApusError) in try reader.page(request) }
    }

    package func start(_ lookUp: StartLookUp) throws(ApusError) -> LookUpStep<Seq, StartLookUp> {
        try pages.read { (reader) throws(ApusError) in try reader.start(lookUp) }
    }

    package func retained(_ request: PageRequest) throws(ApusError) -> MessageBatch {
        try pages.read { (reader) throws(ApusError) in try reader.retained(request) }
    }

    package func history(_ request: HistoryRequest) throws(ApusError) -> MessageBatch {
        try queries.read { (reader) throws(ApusError) in try reader.history(request) }
    }

    package func bounds(_ lookUp: BoundsLookUp) throws(ApusError) -> LookUpStep<SeqRange, BoundsLookUp> {
        try queries.read { (reader) throws(ApusError) in try reader.bounds(lookUp) }
    }

    package func topics(_ lookUp: TopicsLookUp) throws(ApusError) -> LookUpStep<TopicPage, TopicsLookUp> {
        try queries.read { (reader) throws(ApusError) in try reader.topics(lookUp) }
    }

    package func status() throws(ApusError) -> LogStatus {
        try queries.read { (reader) throws(ApusError) in try reader.status() }
    }

    package func close() throws(ApusError) {
        // Also where it throws: the connection is closed, and another broker may try.
        defer { lock.release() }
        try closeConnections()
    }

    private func closeConnections() throws(ApusError) {
        pages.close()
        queries.close()
        try writer.close()
    }
}
