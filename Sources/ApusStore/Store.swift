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

    /// Opens the log at `path`, creating it where there is none.
    ///
    /// - Throws: `log-foreign`, `log-newer`, `log-damaged`, `log-locked`, `storage-full`, `unavailable`,
    ///   `input-output`: what, where, what to do.
    package static func open(
        path: String, limits: Limits, logger: Logger,
        clock: @escaping @Sendable () -> Microseconds = Clocks.wall,
        monotonic: @escaping @Sendable () -> Microseconds = Clocks.monotonic
    ) throws(ApusError) -> Store {
        let file = LogFile(path: try FileSystem.realPath(path))
        // Before anything is created beside a file that is somebody else's; again under the lock.
        _ = try file.examine()
        let lock = try FileLock(forLogAt: file.path)
        let isBlank = try file.examine() == .blank
        let writer = try LogWriter.open(
            file: file, isBlank: isBlank, limits: limits, logger: logger, clock: clock, monotonic: monotonic)
        return Store(file: file, lock: lock, writer: writer, limits: limits, clock: clock)
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
        pages.close()
        queries.close()
        // Also where it throws: the connection is closed, and another broker may try.
        defer { lock.release() }
        try writer.close()
    }
}
