internal import ApusModel
internal import Glibc
internal import NIOCore

/// A payload before it is converted, compressed and declared.
enum RawPayload: Equatable {
    /// Of the command line, UTF-8.
    case text(ByteBuffer)
    /// A line of standard input: text if it is UTF-8, or if somebody has said which text it is.
    case record(ByteBuffer)
    case bytes(ByteBuffer)

    var count: Int {
        switch self {
        case .text(let buffer), .record(let buffer), .bytes(let buffer): buffer.readableBytes
        }
    }
}

/// What `pub` publishes: a list of payloads, or records of standard input as they come.
enum PayloadSource {
    enum Item {
        case text(ByteBuffer)
        case file(String, size: Int)
        case bytes(ByteBuffer)

        /// The larger of what any broker can be told to take.
        static let bytesMax = 1 << 30

        static func standardInput() throws(ApusError) -> Item {
            .bytes(try FileIO.readAll(STDIN_FILENO, named: "standard input", bytesMax: bytesMax))
        }

        var size: Int {
            switch self {
            case .text(let buffer), .bytes(let buffer): buffer.readableBytes
            case .file(_, let size): size
            }
        }

        func load() throws(ApusError) -> RawPayload {
            switch self {
            case .text(let text): return .text(text)
            case .bytes(let bytes): return .bytes(bytes)
            case .file(let path, let size):
                let file = try FileIO.open(path)
                return .bytes(
                    try FileIO.readAll(file.descriptor, named: path, sizeHint: size, bytesMax: Item.bytesMax))
            }
        }
    }

    case items([Item], repeats: Int)
    case records(RecordReader)

    /// Of all payloads before compression; nil where nobody knows.
    var totalBytes: Int? {
        switch self {
        case .items(let items, let repeats): items.reduce(0) { $0 + $1.size } * repeats
        case .records: FileIO.standardInputSize
        }
    }
}

/// The payloads of a source, some at a time.
struct PayloadCursor {
    /// Of one batch, unless a single payload is larger.
    static let batchBytes = 1 << 20
    static let batchCount = 4_096

    private let source: PayloadSource
    private var index = 0

    init(_ source: PayloadSource) {
        self.source = source
    }

    /// Whether ``next(countMax:)`` would not have to wait.
    var hasMoreAtHand: Bool {
        switch source {
        case .items(let items, let repeats): index < items.count * repeats
        case .records(let reader): reader.hasMoreAtHand
        }
    }

    /// - Returns: at least one payload; empty at the end.
    mutating func next(countMax: Int) throws(ApusError) -> [RawPayload] {
        switch source {
        case .records(let reader):
            return try reader.next(countMax: min(countMax, Self.batchCount)).map { .record($0) }
        case .items(let items, let repeats):
            var batch: [RawPayload] = []
            var bytes = 0
            while index < items.count * repeats, batch.count < min(countMax, Self.batchCount), bytes < Self.batchBytes {
                let item = items[index % items.count]
                if !batch.isEmpty, bytes + item.size > Self.batchBytes { break }
                batch.append(try item.load())
                bytes += item.size
                index += 1
            }
            return batch
        }
    }
}
