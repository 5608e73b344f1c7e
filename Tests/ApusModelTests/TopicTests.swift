import ApusModel
import ApusTesting
import Testing

@Suite("Topics and filters")
struct TopicTests {
    @Test(
        "A topic may be any UTF-8 without wildcards and NUL",
        arguments: ["a", "/", "//", "a/b/c", " ", "$SYS/x", "Ä/ß", "\u{1F600}", "a\u{1}b", "e\u{301}"])
    func goodTopics(_ name: String) throws {
        let topic = try Topic(name)
        #expect(topic.bytes == Array(name.utf8))
        #expect(topic.isReserved == name.hasPrefix("$"))
        #expect(topic.checksum == Checksum.of(name))
    }

    @Test("A topic is not empty, has no wildcard and no NUL", arguments: ["", "+", "#", "a/+", "a#b", "a\0b", "+a"])
    func badTopics(_ name: String) {
        #expect(code { () throws(ApusError) in _ = try Topic(name) } == .invalidTopic)
    }

    @Test(
        "A topic that is not UTF-8 is refused",
        arguments: [[0xFF], [0x61, 0xC0, 0x80], [0xED, 0xA0, 0x80]] as [[UInt8]])
    func notUTF8(_ bytes: [UInt8]) {
        #expect(code { () throws(ApusError) in _ = try Topic(validating: bytes) } == .invalidTopic)
    }

    @Test("A topic has at most 65,535 bytes")
    func longTopics() {
        #expect(code { () throws(ApusError) in _ = try Topic(String(repeating: "x", count: 65_535)) } == nil)
        #expect(code { () throws(ApusError) in _ = try Topic(String(repeating: "x", count: 65_536)) } == .invalidTopic)
        // Bytes are counted, not characters.
        #expect(code { () throws(ApusError) in _ = try Topic(String(repeating: "ä", count: 32_768)) } == .invalidTopic)
    }

    @Test("Topics are compared as bytes, not as what they look like")
    func comparedAsBytes() throws {
        let composed = try Topic("\u{E9}")
        let decomposed = try Topic("e\u{301}")
        #expect(composed != decomposed)
        #expect(try TopicFilter("\u{E9}").matches(decomposed) == false)
        #expect(try TopicFilter("\u{E9}") != TopicFilter("e\u{301}"))
        #expect(try Topic("a/b") == Topic("a/b"))
        #expect(try Set([Topic("a/b"), Topic("a/b")]).count == 1)
    }

    @Test("A topic's hash is that of its bytes, however they are stored")
    func hashes() throws {
        let topic = try Topic("a/b/c")
        #expect(topic.hash == Topic.hash(of: Array("a/b/c".utf8)))
        #expect(topic.hash == Topic.hash(of: "a/b/c".utf8))
        topic.bytes.withUnsafeBytes { #expect(topic.hash == Topic.hash(of: $0)) }
    }

    /// MQTT 5.0, section 4.7, and what follows from it.
    static let cases: [(filter: String, matches: [String], others: [String])] = [
        ("a", ["a"], ["b", "aa", "a/", "/a", "a/b", "A"]),
        ("a/b", ["a/b"], ["a", "a/b/", "a/b/c", "a//b"]),
        ("+", ["a", " "], ["a/b", "/", "$SYS", "/a"]),
        ("/+", ["/finance", "/"], ["finance", "/a/b", "//"]),
        ("+/+", ["/finance", "a/b", "/"], ["a", "a/b/c", "$SYS/a"]),
        ("+/tennis/#", ["a/tennis", "a/tennis/b/c", "/tennis"], ["tennis", "$a/tennis"]),
        ("sport/+", ["sport/", "sport/a"], ["sport", "sport/a/b"]),
        ("sport/+/player1", ["sport/tennis/player1", "sport//player1"], ["sport/player1", "sport/a/b/player1"]),
        ("#", ["a", "a/b/c", "/", "//", "a/"], ["$SYS", "$SYS/a", "$"]),
        ("/#", ["/", "/a", "//", "/a/b", "/$SYS"], ["a", "a/b", "$SYS"]),
        ("sport/#", ["sport", "sport/", "sport/a/b"], ["sports", "a/sport", "$sport"]),
        ("sport/tennis/player1/#", ["sport/tennis/player1", "sport/tennis/player1/ranking"], ["sport/tennis"]),
        ("$SYS/#", ["$SYS", "$SYS/a", "$SYS/"], ["a", "$SYSX", "SYS/a"]),
        ("$SYS/+", ["$SYS/a", "$SYS/"], ["$SYS", "$SYS/a/b"]),
        ("+/a", ["b/a", "/a"], ["$SYS/a", "a"]),
        ("a/$b", ["a/$b"], ["a/b"]),
        ("a/+", ["a/$b"], ["$a/b"]),
        ("a//b", ["a//b"], ["a/b", "a/x/b"]),
        ("a/+/b", ["a//b", "a/x/b"], ["a/b"]),
        ("/", ["/"], ["", "a", "//"]),
        ("+/#", ["a", "a/b", "/"], ["$a", "$a/b"]),
    ]

    @Test("A filter matches as MQTT says", arguments: cases.indices)
    func matchesAsMQTT(_ index: Int) throws {
        let (text, matches, others) = TopicTests.cases[index]
        let filter = try TopicFilter(text)
        for topic in matches { #expect(filter.matches(Array(topic.utf8)), "\(text) matches \(topic)") }
        for topic in others { #expect(!filter.matches(Array(topic.utf8)), "\(text) does not match \(topic)") }
    }

    @Test(
        "A filter with a misplaced wildcard is refused",
        arguments: ["", "a+", "+a", "a/b+/c", "#/a", "a/#/b", "a#", "##", "++", "a/+#", "a\0", "sport/tennis#"])
    func badFilters(_ text: String) {
        #expect(code { () throws(ApusError) in _ = try TopicFilter(text) } == .invalidFilter)
    }

    @Test("A filter has at most as many levels as the limit says, and 65,535 bytes")
    func filterBounds() {
        let levels = { (count: Int) in Array(repeating: "a", count: count).joined(separator: "/") }
        let most = Limits.defaults.filterLevelsMax
        #expect(code { () throws(ApusError) in _ = try TopicFilter(levels(most)) } == nil)
        #expect(code { () throws(ApusError) in _ = try TopicFilter(levels(most + 1)) } == .invalidFilter)
        #expect(code { () throws(ApusError) in _ = try TopicFilter("a/b/c", levelsMax: 2) } == .invalidFilter)
        let long = String(repeating: "x", count: 65_536)
        #expect(code { () throws(ApusError) in _ = try TopicFilter(long) } == .invalidFilter)
    }

    @Test("Only a filter without wildcards names one topic")
    func exactTopics() throws {
        #expect(try TopicFilter("a/b").exactTopic == Array("a/b".utf8))
        #expect(try TopicFilter("a/+").exactTopic == nil)
        #expect(try TopicFilter("a/#").exactTopic == nil)
        #expect(try TopicFilter("#").matchesAll)
        #expect(try TopicFilter("+/#").matchesAll == false)
    }

    @Test("A filter matches as a naive reading of the rules does, on random data")
    func matchesLikeReference() throws {
        var random = SeededRandom(seed: 47)
        let levels = ["a", "b", "", "$x", "ä"]
        func path(_ words: [String]) -> String {
            (0..<Int.random(in: 1...5, using: &random)).map { _ in words.randomElement(using: &random) ?? "" }
                .joined(separator: "/")
        }
        var hits = 0
        for _ in 0..<20_000 {
            let topic = path(levels)
            let filterText = path(levels + ["+", "+", "#"])
            guard !topic.isEmpty, !filterText.isEmpty else { continue }
            guard let filter = try? TopicFilter(filterText) else {
                #expect(filterText.split(separator: "/", omittingEmptySubsequences: false).dropLast().contains("#"))
                continue
            }
            let expected = naiveMatch(filterText, topic)
            hits += expected ? 1 : 0
            #expect(try filter.matches(Topic(topic)) == expected, "\(filterText) on \(topic)")
        }
        #expect(hits > 500)
    }
}

/// The rules as they are written, one level after the other.
private func naiveMatch(_ filter: String, _ topic: String) -> Bool {
    if topic.hasPrefix("$"), filter.hasPrefix("+") || filter.hasPrefix("#") { return false }
    func match(_ f: ArraySlice<Substring>, _ t: ArraySlice<Substring>) -> Bool {
        guard let level = f.first else { return t.isEmpty }
        if level == "#" { return true }
        guard let name = t.first else { return false }
        return (level == "+" || level == name) && match(f.dropFirst(), t.dropFirst())
    }
    return match(
        filter.split(separator: "/", omittingEmptySubsequences: false)[...],
        topic.split(separator: "/", omittingEmptySubsequences: false)[...])
}
