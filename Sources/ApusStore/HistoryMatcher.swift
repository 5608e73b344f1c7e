internal import ApusBroker
internal import ApusModel

/// The conditions of a history query that look into the row.
struct HistoryMatcher {
    private let reader: LogReader
    private let selection: HistorySelection
    private let mediaType: String?
    private let needle: ByteSearch
    /// Answers by encoding, so that declarations are compared once each.
    private var encodings: [Int64: Bool] = [:]
    /// Bytes looked at so far.
    private(set) var bytes = 0

    init(reader: LogReader, selection: HistorySelection) {
        self.reader = reader
        self.selection = selection
        mediaType = selection.contentType?.lowercased()
        needle = ByteSearch(Array((selection.grep ?? "").utf8))
    }

    /// Whether it is enough to look at topics.
    static func isNeeded(_ selection: HistorySelection) -> Bool {
        selection.contentType != nil || !selection.headers.isEmpty || !(selection.grep ?? "").isEmpty
            || selection.publisher != nil
    }

    /// From the cheapest condition to the dearest.
    mutating func matches(_ row: StoredRow) throws -> Bool {
        if selection.contentType != nil, try !matchesType(row.encoding) { return false }
        if let wanted = selection.publisher {
            guard let id = row.publisher, try reader.publisher(id) == wanted else { return false }
        }
        if !selection.headers.isEmpty, try !matchesHeaders(row) { return false }
        return needle.isEmpty || contains(row.payload)
    }

    private mutating func matchesType(_ id: Int64) throws -> Bool {
        if let known = encodings[id] { return known }
        let encoding = try reader.encoding(id)
        let isMatch = encoding.contentType == selection.contentType || encoding.mediaType == mediaType
        encodings[id] = isMatch
        return isMatch
    }

    private mutating func matchesHeaders(_ row: StoredRow) throws -> Bool {
        let text = row.headers
        guard !text.isEmpty else { return false }
        bytes += text.count
        // What cannot be read matches nothing; the page that delivers the row checks its checksum.
        guard let json = try? JSONParser.parse(text), let headers = try? Headers(json: json) else { return false }
        return selection.headers.allSatisfy { headers.pairs.contains($0) }
    }

    private mutating func contains(_ payload: UnsafeRawBufferPointer) -> Bool {
        bytes += payload.count
        return needle.isContained(in: payload)
    }
}
