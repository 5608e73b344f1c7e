// Station 7, cursors that are behind the tail. Runs on: reader threads, one per reader at a time. In: what a cursor
// wants. Out: one page. Bounded by: the request's bytes and messages, and a fixed amount of work per call.

internal import ApusBroker
internal import ApusModel
internal import GRDB
internal import GRDBSQLite

/// One read-only connection. Not Sendable: whoever has taken it out of the pool uses it.
final class LogReader {
    let settings: ReaderSettings
    private let queue: DatabaseQueue
    private let connection: OpaquePointer
    private var statementsOrNil: ReaderStatements?
    let matcher = TopicMatcher()
    private var topicsByID: NameCache<Int64, Topic>
    private var encodingsByID: NameCache<Int64, Encoding>
    private var publishersByID: NameCache<Int64, String>
    private var namesVersion = 0
    /// What is known about filters, while there is no newer topic.
    var plans: [FilterSet: ReadPlan] = [:]
    var plansBytes = 0
    var plansLastTopic: Int64 = 0

    init(_ settings: ReaderSettings) throws(ApusError) {
        self.settings = settings
        topicsByID = NameCache(topics: settings.limits)
        encodingsByID = NameCache(encodings: settings.limits)
        publishersByID = NameCache(settings.limits, share: 8) { _, name in name.utf8.count + 192 }
        do {
            queue = try settings.file.connect(settings.use)
        } catch {
            throw settings.file.opening(SQLiteFailure(error, doing: "opening a reader"))
        }
        guard let connection = queue.unsafeRead({ $0.sqliteConnection }) else {
            throw ApusError(.internalError, "the connection to \(settings.file.path) is closed")
        }
        self.connection = connection
        do {
            try matcher.install(on: connection)
            statementsOrNil = try ReaderStatements(on: connection)
        } catch {
            statementsOrNil = nil
            try? queue.close()
            throw error.asError(path: settings.file.path)
        }
        matcher.topic = { [unowned self] id in try self.topic(id) }
    }

    func close() {
        statementsOrNil = nil
        try? queue.close()
    }

    var statements: ReaderStatements {
        get throws {
            guard let statementsOrNil else { throw ApusError(.closed, "the log is closed") }
            return statementsOrNil
        }
    }

    /// What holds in one read transaction.
    struct Snapshot {
        /// Posting lists speak for everything up to here.
        var sealedThrough: Seq
        var trimmedThrough: Seq
        /// Nothing above this may be spoken for: what is a hole now may be a message soon.
        var head: Seq
    }

    /// Runs `body` in one read transaction, between two moments in which the writer may hold readers up. It has to be
    /// short: an open one keeps the write-ahead log from starting anew.
    func snapshot<T>(_ body: (Snapshot) throws -> T) throws(ApusError) -> T {
        let result: Result<T, any Error> = settings.shared.gate.pass {
            queue.unsafeRead { _ in Result { try transaction(body) } }
        }
        switch result {
        case .success(let value): return value
        case .failure(let error as ApusError): throw error
        case .failure(let error as SQLiteFailure): throw error.asError(path: settings.file.path)
        case .failure(let error): throw ApusError(.internalError, "\(error)")
        }
    }

    private func transaction<T>(_ body: (Snapshot) throws -> T) throws -> T {
        let statements = try statements
        // Before the snapshot is taken, which then has at least this.
        var head = settings.shared.head
        try statements.begin.run("beginning to read")
        defer { try? statements.end.run("ending to read") }
        let state = try statements.log.first("reading the log's state") { ($0.seq(0), $0.seq(1)) }
        guard let state else { throw damaged("the row of its state is gone") }
        guard max(state.0, state.1) < Seq.last / 2 else { throw damaged("a seq in it is out of range") }
        forgetNamesIfNeeded()
        if settings.readsHeadFromFile {
            head = try statements.bounds.first("reading the last seq") { $0.seq(1) } ?? 0
        }
        return try body(Snapshot(sealedThrough: state.0, trimmedThrough: state.1, head: head))
    }

    // Names

    private func forgetNamesIfNeeded() {
        let version = settings.shared.namesVersion
        guard version != namesVersion else { return }
        namesVersion = version
        topicsByID.removeAll()
        encodingsByID.removeAll()
        publishersByID.removeAll()
        forgetPlans()
        matcher.forget()
    }

    func topic(_ id: Int64) throws -> Topic {
        if let topic = topicsByID[id] { return topic }
        let statement = try statements.topic
        statement.bind(1, id)
        let bytes = try statement.first("reading a topic") { Array($0.bytes(0)) }
        guard let bytes, let topic = try? Topic(validating: bytes) else {
            throw damaged("topic \(id) is missing or is no topic")
        }
        topicsByID.insert(topic, for: id)
        return topic
    }

    /// What the names that it keeps cost.
    var nameBytes: Int { topicsByID.bytes + encodingsByID.bytes + publishersByID.bytes + plansBytes }

    func encoding(_ id: Int64) throws -> Encoding {
        if let encoding = encodingsByID[id] { return encoding }
        let statement = try statements.encoding
        statement.bind(1, id)
        let encoding = try statement.first("reading an encoding") { row in
            try? Encoding(
                contentType: row.text(0), charset: row.text(1), contentEncoding: row.text(2), byteOrder: row.text(3),
                format: row.text(4))
        }
        guard let encoding = encoding ?? nil else { throw damaged("encoding \(id) is missing or is none") }
        encodingsByID.insert(encoding, for: id)
        return encoding
    }

    /// nil where the name has been forgotten since.
    func publisher(_ id: Int64) throws -> String? {
        if let name = publishersByID[id] { return name }
        let statement = try statements.publisher
        statement.bind(1, id)
        guard let name = try statement.first("reading a publisher", { $0.text(0) }) else { return nil }
        publishersByID.insert(name, for: id)
        return name
    }

    func damaged(_ what: String) -> ApusError {
        ApusError(
            .logDamaged, "\(settings.file.path) is damaged: \(what)",
            hint: "A payload or a name was changed outside of the broker, or the disk lost bits: copy the file and its "
                + "-wal away, and restore what is damaged from a backup.")
    }
}
