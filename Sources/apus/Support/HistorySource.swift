internal import ApusBroker
internal import ApusClient
internal import ApusModel
internal import ApusStore
internal import ArgumentParser
internal import NIOCore

/// Which broker, or which file.
struct SourceOptions: ParsableArguments, Sendable {
    @OptionGroup var connection: ConnectionOptions

    @Option(
        help: ArgumentHelp("Read this file instead of asking a broker; it is not changed.", valueName: "file"),
        completion: .file(extensions: ["db"]))
    var db: String?

    func open() async throws -> HistorySource { try await HistorySource.open(file: db, connection) }
}

/// Where rows of history come from: a broker, or a file that is read without one.
enum HistorySource {
    case broker(ApusClient)
    case file(any LogQueries)

    fileprivate static func open(file: String?, _ connection: ConnectionOptions) async throws -> HistorySource {
        if let file {
            // Said here as for any other file of the command line.
            _ = try FileIO.open(file)
            return .file(try openLog(file))
        }
        return .broker(try await connection.connect())
    }

    /// - Throws: `input-output` where the file cannot be read: there is no broker that could be unavailable.
    private static func openLog(_ path: String) throws(ApusError) -> any LogQueries {
        do {
            return try Store.openReadOnly(path: path, limits: .defaults)
        } catch  where error.code == .unavailable {
            throw ApusError(.input, error.message, hint: error.hint)
        }
    }

    /// Hands every row to `body`, until it returns false.
    func forEach(_ query: HistoryQuery, _ body: (Message) -> Bool) async throws {
        switch self {
        case .broker(let client):
            for try await message in try await client.history(query) where !body(message) { return }
        case .file(let log):
            try HistorySource.forEach(query, in: log, body)
        }
    }

    func close() async {
        if case .broker(let client) = self { _ = await client.close() }
    }

    private static let pageBytes = 1 << 20
    private static let pageRows = 1_024

    private static func forEach(
        _ query: HistoryQuery, in log: any LogQueries, _ body: (Message) -> Bool
    ) throws {
        let selection = try query.selection()
        guard let bounds = try bounds(selection, in: log) else { return }
        var after = bounds.after
        var left = query.limit ?? .max
        while after < bounds.through, left > 0, !Interrupts.isRequested {
            let request = HistoryRequest(
                selection: selection, after: after, through: bounds.through, bytesMax: pageBytes,
                countMax: min(left, pageRows))
            let batch = try log.history(request)
            for index in batch.messages.indices.prefix(left) {
                guard body(try batch.message(at: index)) else { return }
                left -= 1
            }
            guard batch.through > after else {
                throw ApusError(.internalError, "the log's pages do not go on behind seq \(after)")
            }
            after = batch.through
        }
    }

    /// - Returns: nil where the user has interrupted it.
    private static func bounds(
        _ selection: HistorySelection, in log: any LogQueries
    ) throws(ApusError) -> SeqRange? {
        var lookUp = BoundsLookUp(selection)
        while !Interrupts.isRequested {
            switch try log.bounds(lookUp) {
            case .answer(let range): return range
            case .goOn(let next): lookUp = next
            }
        }
        return nil
    }
}

extension HistoryQuery {
    /// The same question, as the store takes it.
    fileprivate func selection() throws(ApusError) -> HistorySelection {
        guard !filters.isEmpty else { return HistorySelection(.all, conditions) }
        let filters = try filters.map { (text) throws(ApusError) in try TopicFilter(text) }
        return HistorySelection(FilterSet(filters), conditions)
    }
}

extension MessageBatch {
    /// A stored message as a subscriber would get it.
    fileprivate func message(at index: Int) throws(ApusError) -> Message {
        let row = messages[index]
        let arena = arenas[Int(row.arena)]
        func slice(_ slice: Slice) -> ByteBuffer {
            arena.getSlice(at: Int(slice.offset), length: Int(slice.length)) ?? ByteBuffer()
        }
        var headers = Headers()
        if !row.headers.isEmpty {
            headers = try Headers(json: try JSONParser.parse(String(buffer: slice(row.headers))))
        }
        return Message(
            seq: row.seq, receivedAt: row.receivedAt, topic: topics[Int(row.topic)].name,
            encoding: encodings[Int(row.encoding)], headers: headers,
            key: row.key.isEmpty ? nil : String(buffer: slice(row.key)), payload: slice(row.payload),
            publisher: row.publisher == StoredMessage.noPublisher ? nil : publishers[Int(row.publisher)])
    }
}
