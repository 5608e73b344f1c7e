/// A filter on topics: levels separated by `/`, of which `+` matches any one and a last `#` matches the rest.
///
/// MQTT 5.0, section 4.7: `a/#` matches `a` too; a filter that begins with a wildcard matches no topic that begins
/// with `$`. Bounds: 65,535 bytes, `levelsMax` levels.
public struct TopicFilter: Hashable, Sendable, CustomStringConvertible {
    package enum Level: Hashable, Sendable {
        case name([UInt8])
        case single
        case rest
    }

    public let text: String
    package let levels: [Level]

    /// - Parameter levelsMax: the limit `max-filter-levels`.
    /// - Throws: `invalid-filter`, saying what is wrong with it.
    public init(_ text: String, levelsMax: Int = Limits.defaults.filterLevelsMax) throws(ApusError) {
        guard !text.isEmpty else { throw ApusError(.invalidFilter, "the filter is empty") }
        let bytes = Array(text.utf8)
        guard bytes.count <= Topic.bytesMax else {
            throw ApusError(.invalidFilter, "the filter has \(bytes.count) bytes, the limit is \(Topic.bytesMax)")
        }
        guard !bytes.contains(0) else { throw ApusError(.invalidFilter, "the filter contains a NUL") }
        let parts = bytes.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        guard parts.count <= levelsMax else {
            throw ApusError(
                .invalidFilter, "the filter has \(parts.count) levels, the limit max-filter-levels is \(levelsMax)")
        }
        var levels: [Level] = []
        for (index, part) in parts.enumerated() {
            if part.elementsEqual([UInt8(ascii: "#")]) {
                guard index == parts.count - 1 else {
                    throw ApusError(.invalidFilter, "'#' is not the last level of the filter \"\(text.prefix(80))\"")
                }
                levels.append(.rest)
            } else if part.elementsEqual([UInt8(ascii: "+")]) {
                levels.append(.single)
            } else {
                guard !part.contains(UInt8(ascii: "+")), !part.contains(UInt8(ascii: "#")) else {
                    throw ApusError(
                        .invalidFilter, "a wildcard shares a level of the filter \"\(text.prefix(80))\"",
                        hint: "'+' and '#' stand alone between slashes, as in a/+/c or a/#.")
                }
                levels.append(.name(Array(part)))
            }
        }
        self.text = text
        self.levels = levels
    }

    public var description: String { text }

    /// Bytes of memory, roughly: the text, each level by itself, and a node of the trie that finds it.
    package var cost: Int { 128 + 3 * text.utf8.count + 224 * levels.count }

    /// The one topic that this filter matches, where it has no wildcard.
    package var exactTopic: [UInt8]? {
        levels.contains(.single) || levels.contains(.rest) ? nil : Array(text.utf8)
    }

    /// Whether the filter matches every topic that does not begin with `$`.
    package var matchesAll: Bool { levels == [.rest] }

    public func matches(_ topic: Topic) -> Bool { matches(topic.bytes) }

    package func matches(_ topic: [UInt8]) -> Bool {
        if topic.first == UInt8(ascii: "$"), levels[0] == .single || levels[0] == .rest { return false }
        var rest = topic[...]
        var ended = false
        for level in levels {
            if level == .rest { return true }
            if ended { return false }
            let end = rest.firstIndex(of: UInt8(ascii: "/"))
            if case .name(let name) = level, !rest[..<(end ?? rest.endIndex)].elementsEqual(name) { return false }
            if let end {
                rest = rest[(end + 1)...]
            } else {
                ended = true
            }
        }
        return ended
    }
}
