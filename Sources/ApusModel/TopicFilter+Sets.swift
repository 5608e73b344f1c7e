// Filters as sets of topics. MQTT's rules make the intersection of two filters one filter again, so that everything here
// is a walk along the levels.

extension TopicFilter {
    /// Whether there is a topic that both match.
    package func intersects(_ other: TopicFilter) -> Bool {
        TopicFilter.intersection(levels, other.levels) != nil
    }

    /// Whether every topic that `other` matches is matched by this filter too.
    package func covers(_ other: TopicFilter) -> Bool { TopicFilter.covers(levels, other.levels) }

    /// What two filters both match, as the levels of one; nil where no topic is matched by both.
    package static func intersection(_ a: [Level], _ b: [Level]) -> [Level]? {
        guard !isHidden(a, from: b), !isHidden(b, from: a) else { return nil }
        var both: [Level] = []
        for index in 0...max(a.count, b.count) {
            switch (level(index, a), level(index, b)) {
            // `#` stands for no level, too.
            case (nil, nil), (.rest, nil), (nil, .rest): return both
            case (nil, _), (_, nil): return nil
            case (.rest, _): return both + b[index...]
            case (_, .rest): return both + a[index...]
            case (.single, let other?), (let other?, .single): both.append(other)
            case (.name(let one), .name(let other)):
                guard one == other else { return nil }
                both.append(.name(one))
            }
        }
        return both
    }

    package static func covers(_ outer: [Level], _ inner: [Level]) -> Bool {
        guard !isHidden(inner, from: outer) else { return false }
        // Every topic has a first level, so that `#` at the very beginning is the same as `+/#`.
        let inner = inner.first == .rest ? [.single] + inner : inner
        for index in 0...max(outer.count, inner.count) {
            switch (level(index, outer), level(index, inner)) {
            case (.rest, _), (nil, nil): return true
            case (nil, _), (_, nil), (_, .rest), (.name, .single): return false
            case (.single, _): continue
            case (.name(let one), .name(let other)):
                guard one == other else { return false }
            }
        }
        return true
    }

    /// Whether the first names topics of the broker, which the second, beginning with a wildcard, never matches.
    private static func isHidden(_ levels: [Level], from other: [Level]) -> Bool {
        guard case .name(let name)? = levels.first, name.first == UInt8(ascii: "$") else { return false }
        return other.first == .single || other.first == .rest
    }

    private static func level(_ index: Int, _ levels: [Level]) -> Level? {
        index < levels.count ? levels[index] : nil
    }
}
