internal import ApusBroker
internal import ApusModel

/// The conditions of a history query that look into the row.
struct HistoryMatcher {
    private let reader: LogReader
    private let conditions: HistoryConditions
    private let mediaType: String?
    private let needle: ByteSearch
    /// Answers by encoding, so that declarations are compared once each.
    private var encodings: [Int64: Bool] = [:]
    /// Bytes looked at so far.
    private(set) var bytes = 0

    /// - Returns: nil where it is enough to look at topics and seqs.
    init?(_ conditions: HistoryConditions, reader: LogReader) {
        guard
            conditions.contentType != nil || !conditions.headers.isEmpty || !(conditions.grep ?? "").isEmpty
                || conditions.publisher != nil
        else { return nil }
        self.reader = reader
        self.conditions = conditions
        mediaType = conditions.contentType?.lowercased()
        needle = ByteSearch(Array((conditions.grep ?? "").utf8))
    }

    /// From the cheapest condition to the dearest.
    mutating func matches(_ row: StoredRow) throws -> Bool {
        if conditions.contentType != nil, try !matchesType(row.encoding) { return false }
        if let wanted = conditions.publisher {
            guard let id = row.publisher, try reader.publisher(id) == wanted else { return false }
        }
        if !conditions.headers.isEmpty, try !matchesHeaders(row) { return false }
        return needle.isEmpty || contains(row.payload)
    }

    private mutating func matchesType(_ id: Int64) throws -> Bool {
        if let known = encodings[id] { return known }
        let encoding = try reader.encoding(id)
        let isMatch = encoding.contentType == conditions.contentType || encoding.mediaType == mediaType
        encodings[id] = isMatch
        return isMatch
    }

    private mutating func matchesHeaders(_ row: StoredRow) throws -> Bool {
        let text = row.headers
        guard !text.isEmpty else { return false }
        bytes += text.count
        // What cannot be read matches nothing; the page that delivers the row checks its checksum.
        guard let json = try? JSONParser.parse(text), let headers = try? Headers(json: json) else { return false }
        return conditions.headers.pairs.allSatisfy { headers.pairs.contains($0) }
    }

    private mutating func contains(_ payload: UnsafeRawBufferPointer) -> Bool {
        bytes += payload.count
        return needle.isContained(in: payload)
    }
}
