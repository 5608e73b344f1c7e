package import ApusBroker
package import ApusModel

extension Store {
    /// The log as a file, for reading without a broker, or beside one. Changes nothing.
    ///
    /// - Throws: as ``open(path:limits:migrate:logger:clock:monotonic:schema:freeBytes:)``, and `input-output` where
    ///   reading would mean to leave out what still stands in the write-ahead log.
    package static func openReadOnly(
        path: String, limits: Limits, schema: Schema = .current
    ) throws(ApusError) -> any LogQueries {
        let file = LogFile(path: try FileSystem.realPath(path))
        if case .nothing = try FileSystem.kind(of: file.path) {
            throw ApusError(.input, "there is no file \(file.path)", hint: "Name the log's file with --db.")
        }
        let (use, state) = try file.examineForReading(schema)
        guard case .log(let version) = state else {
            throw ApusError(.logForeign, "\(file.path) is empty: no broker has written a log there yet")
        }
        guard version == schema.version else {
            throw ApusError(
                .logOlder, "\(file.path) has schema version \(version), this program reads \(schema.version)",
                hint: "Starting a broker on it brings it up to date. Or read it with the Apus that wrote it.")
        }
        return ReadOnlyLog(file: file, use: use, limits: limits)
    }
}

extension LogFile {
    /// How the file can be read. An immutable file is read without its write-ahead log: only where that has nothing.
    fileprivate func examineForReading(_ schema: Schema) throws(ApusError) -> (Use, State) {
        do {
            return (.read, try examine(schema, through: .examine))
        } catch  where error.code == .input {
            guard FileSystem.bytes(of: walPath) == 0 else {
                throw ApusError(
                    .input, "\(path) cannot be read together with its write-ahead log: \(error.message)",
                    hint: "Copy both files, \(path) and \(walPath), to a writable directory and read them there.")
            }
            return (.readImmutable, try examine(schema, through: .readImmutable))
        }
    }
}

/// Queries on a file that this process does not write.
private final class ReadOnlyLog: LogQueries {
    private let readers: ReaderPool

    init(file: LogFile, use: LogFile.Use, limits: Limits) {
        let settings = ReaderSettings(
            file: file, use: use, limits: limits, shared: SharedState(head: 0, trimmedThrough: 0), clock: Clocks.wall,
            readsHeadFromFile: true)
        readers = ReaderPool(settings: settings, readersMax: 2)
    }

    func history(_ request: HistoryRequest) throws(ApusError) -> MessageBatch {
        try readers.read { (reader) throws(ApusError) in try reader.history(request) }
    }

    func bounds(_ lookUp: BoundsLookUp) throws(ApusError) -> LookUpStep<SeqRange, BoundsLookUp> {
        try readers.read { (reader) throws(ApusError) in try reader.bounds(lookUp) }
    }

    func topics(_ lookUp: TopicsLookUp) throws(ApusError) -> LookUpStep<TopicPage, TopicsLookUp> {
        try readers.read { (reader) throws(ApusError) in try reader.topics(lookUp) }
    }

    func status() throws(ApusError) -> LogStatus {
        try readers.read { (reader) throws(ApusError) in try reader.status() }
    }
}
