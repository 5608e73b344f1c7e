import ApusModel
import Testing

@Suite("Filters as sets of topics")
struct FilterSetsTests {
    /// Every sequence of words of at most so many levels.
    private static func sequences(_ words: [String], levels: Int) -> [[String]] {
        guard levels > 0 else { return [] }
        let shorter = sequences(words, levels: levels - 1)
        let longest = shorter.filter { $0.count == levels - 1 }
        return shorter + (levels == 1 ? [[]] : longest).flatMap { begin in words.map { begin + [$0] } }
    }

    /// All filters of up to three levels, with a `$` name; each with the topics of up to four levels that it matches.
    /// `z` stands for every name that no filter has.
    private static let filters: [(filter: TopicFilter, matched: Set<Int>)] = {
        let topics = sequences(["a", "$x", "z"], levels: 4).map { Array($0.joined(separator: "/").utf8) }
        let texts = sequences(["a", "$x", "+"], levels: 3).flatMap { levels -> [String] in
            let text = levels.joined(separator: "/")
            return levels.count < 3 ? [text, text + "/#"] : [text]
        }
        return (texts + ["#"]).compactMap { text in
            guard let filter = try? TopicFilter(text) else { return nil }
            return (filter, Set(topics.indices.filter { filter.matches(topics[$0]) }))
        }
    }()

    @Test("intersect where a topic is matched by both, and only there: all filters of three levels")
    func intersects() {
        #expect(FilterSetsTests.filters.count > 50)
        for (one, matchedByOne) in FilterSetsTests.filters {
            for (other, matchedByOther) in FilterSetsTests.filters {
                let expected = !matchedByOne.isDisjoint(with: matchedByOther)
                #expect(one.intersects(other) == expected, "\(one) and \(other)")
            }
        }
    }

    @Test("have one filter as their intersection, which matches what both match")
    func intersection() throws {
        let topics = FilterSetsTests.sequences(["a", "$x", "z"], levels: 4).map { $0.joined(separator: "/") }
        for (one, _) in FilterSetsTests.filters {
            for (other, _) in FilterSetsTests.filters {
                guard let both = TopicFilter.intersection(one.levels, other.levels) else { continue }
                let filter = try TopicFilter(text(both))
                for topic in topics {
                    let bytes = Array(topic.utf8)
                    guard filter.matches(bytes) != (one.matches(bytes) && other.matches(bytes)) else { continue }
                    Issue.record("\(one) and \(other) give \(filter), which is wrong about \(topic)")
                }
            }
        }
    }

    private func text(_ levels: [TopicFilter.Level]) -> String {
        levels.map { level in
            switch level {
            case .name(let name): String(decoding: name, as: UTF8.self)
            case .single: "+"
            case .rest: "#"
            }
        }.joined(separator: "/")
    }

    @Test("cover another where they match all of its topics, and only there")
    func covers() {
        for (outer, matchedByOuter) in FilterSetsTests.filters {
            for (inner, matchedByInner) in FilterSetsTests.filters {
                let expected = matchedByInner.isSubset(of: matchedByOuter)
                #expect(outer.covers(inner) == expected, "\(outer) and \(inner)")
            }
        }
    }

    @Test(
        "know empty levels",
        arguments: [
            ("a//b", "a/+/b", true), ("/", "+/+", true), ("/#", "+", false), ("/", "/", true), ("a/", "a", false),
            ("a/", "a/#", true), ("a", "a/#", true), ("a/+", "a", false),
        ] as [(String, String, Bool)])
    func emptyLevels(_ one: String, _ other: String, _ expected: Bool) throws {
        #expect(try TopicFilter(one).intersects(try TopicFilter(other)) == expected)
        #expect(try TopicFilter(other).intersects(try TopicFilter(one)) == expected)
    }
}
