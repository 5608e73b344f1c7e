import Foundation

/// A message as it came out, wherever that was.
struct Record: Sendable, Hashable {
    var seq: UInt64
    var topic: String
    var contentType: String?
    var charset: String?
    var contentEncoding: String?
    var byteOrder: String?
    var payload: [UInt8]

    /// Payload and all of its metadata as one JSON line, then the exact bytes: `-F`.
    static let format = "%j\\n%p\\n"

    /// What `sub -F` with ``format`` has printed.
    ///
    /// - Throws: where the last one is not whole.
    static func parse(_ output: [UInt8]) throws -> [Record] {
        var records: [Record] = []
        var rest = output[...]
        while let newline = rest.firstIndex(of: 0x0A) {
            let line = try JSONLine(Data(rest[..<newline]))
            let payload = rest[(newline + 1)...].prefix(line.size)
            guard payload.count == line.size, payload.endIndex < rest.endIndex, rest[payload.endIndex] == 0x0A else {
                throw Unexpected("the output ends within seq \(line.seq)")
            }
            records.append(line.record(payload: Array(payload)))
            rest = rest[(payload.endIndex + 1)...]
        }
        guard rest.isEmpty else { throw Unexpected("the output ends within a line") }
        return records
    }

    init(
        seq: UInt64, topic: String, contentType: String?, charset: String?, contentEncoding: String?,
        byteOrder: String?,
        payload: [UInt8]
    ) {
        self.seq = seq
        self.topic = topic
        self.contentType = contentType
        self.charset = charset
        self.contentEncoding = contentEncoding
        self.byteOrder = byteOrder
        self.payload = payload
    }

    init(_ frame: RawClient.Frame) {
        let header = frame.header
        self.init(
            seq: header.seq ?? 0, topic: header.topic ?? "", contentType: header.contentType, charset: header.charset,
            contentEncoding: header.contentEncoding, byteOrder: header.byteOrder, payload: frame.content)
    }
}

/// A line of `--json`.
struct JSONLine: Decodable {
    var seq: UInt64
    var topic: String
    var contentType: String?
    var charset: String?
    var contentEncoding: String?
    var byteOrder: String?
    var size: Int
    var text: String?
    var base64: Data?

    enum CodingKeys: String, CodingKey {
        case seq, topic, charset, size, text, base64
        case contentType = "content-type"
        case contentEncoding = "content-encoding"
        case byteOrder = "byte-order"
    }

    init(_ line: Data) throws { self = try JSONDecoder().decode(JSONLine.self, from: line) }

    func record(payload: [UInt8]) -> Record {
        Record(
            seq: seq, topic: topic, contentType: contentType, charset: charset, contentEncoding: contentEncoding,
            byteOrder: byteOrder, payload: payload)
    }
}
