import ApusBroker
import ApusModel
import ApusStore
import ApusTesting
import Testing

/// A look-up over a long log is many short reads, and answers as of its first one.
@Suite("A look-up in steps")
struct LookUpTests {
    private struct Sample {
        let log: TestLog
        /// Topic by seq; the seq after index 0.
        var topics: [String] = []
        static let topicCount = 8_192

        /// Three segments and a bit, of very many topics; a needle in a few payloads of the first.
        init() throws {
            log = try TestLog()
            for _ in 0..<13 { try append(4_000) }
        }

        mutating func append(_ count: Int) throws {
            let first = topics.count
            let names = (first..<(first + count)).map { "t/\($0 * 2_731 % Sample.topicCount)" }
            topics += names
            try log.store.publish(
                names.enumerated().map { index, name in
                    Draft(name, (first + index) % 5_000 == 7 && first < 16_000 ? "the needle" : "hay", level: .stored)
                })
            _ = try log.store.rest()
        }

        func seqs(_ filters: FilterSet) throws -> [Seq] {
            let wanted = Set(try Set(topics).filter { filters.matches(try Topic($0)) })
            return topics.indices.filter { wanted.contains(topics[$0]) }.map { Seq($0 + 1) }
        }
    }

    @Test("finds the last so many messages of many topics, also while others come")
    func last() throws {
        var sample = try Sample()
        let many = try filters("t/1", "t/2", "t/3", "+/7", "t/+")
        let few = try filters("t/17", "t/4711")
        let all = sample.topics.count
        let cases: [(FilterSet, Int)] = [
            (many, 1), (many, 40_000), (many, all), (many, all + 1), (few, 1), (few, 9), (few, 100), (.all, 30_000),
        ]
        for (set, count) in cases {
            let matching = try sample.seqs(set)
            let expected = matching.count >= count ? matching[matching.count - count] - 1 : 0
            var lookUp = StartLookUp(.last(count), filters: set)
            var steps = 1
            search: while true {
                switch try sample.log.store.start(lookUp) {
                case .answer(let seq):
                    #expect(seq == expected, "the last \(count) of \(set.filters)")
                    break search
                case .goOn(let next):
                    lookUp = next
                    steps += 1
                    try sample.append(17)
                }
            }
            if count == 40_000 { #expect(steps >= 3, "a segment is read at a time") }
        }
    }

    @Test("finds where a query begins that searches payloads backwards, also while others come")
    func bounds() throws {
        var sample = try Sample()
        var selection = HistorySelection()
        selection.conditions.grep = "needle"
        for (last, after) in [(1, Seq(15_007)), (3, 5_007), (4, 7), (5, 0)] {
            selection.conditions.last = last
            let through = Seq(sample.topics.count)
            var lookUp = BoundsLookUp(selection)
            var steps = 1
            search: while true {
                switch try sample.log.store.bounds(lookUp) {
                case .answer(let range):
                    #expect(range == SeqRange(after: after, through: through))
                    break search
                case .goOn(let next):
                    lookUp = next
                    steps += 1
                    try sample.append(17)
                }
            }
            #expect(steps >= 3)
        }
    }

    @Test("stops a search at its bytes, in the middle of a segment")
    func searchBytes() throws {
        let log = try TestLog()
        let large = String(repeating: "x", count: 4 << 20)
        try log.store.publish([Draft("t", "needle", level: .stored)])
        for _ in 0..<20 { try log.store.publish([Draft("t", large, level: .stored)]) }
        var selection = HistorySelection()
        selection.conditions.grep = "needle"
        selection.conditions.last = 1
        guard case .goOn(let next) = try log.store.bounds(BoundsLookUp(selection)) else {
            Issue.record("80 MiB were searched in one step")
            return
        }
        #expect(next.walk?.missing == 1)
        #expect((11...14).contains(next.walk?.range.through ?? 0), "32 MiB of it")
        #expect(try log.store.bounds(selection) == SeqRange(after: 0, through: 21))
    }

    @Test("counts topics, also while others come and segments are sealed")
    func topics() throws {
        var sample = try Sample()
        for set in [FilterSet.all, try filters("t/1", "t/2000", "t/8191"), try filters("nothing")] {
            let seqs = try sample.seqs(set)
            var expected: [String: TopicRow] = [:]
            for seq in seqs {
                let name = sample.topics[Int(seq) - 1]
                expected[name] = TopicRow(
                    topic: name, messages: (expected[name]?.messages ?? 0) + 1, lastSeq: seq)
            }
            var lookUp = TopicsLookUp(set, afterID: 0, countMax: 10_000, bytesMax: 1 << 20)
            var steps = 1
            search: while true {
                switch try sample.log.store.topics(lookUp) {
                case .answer(let page):
                    #expect(page.next == nil)
                    #expect(page.rows.count == expected.count)
                    #expect(page.rows.allSatisfy { expected[$0.topic] == $0 }, "\(set.filters)")
                    break search
                case .goOn(let next):
                    lookUp = next
                    steps += 1
                    try sample.append(2_900)
                }
            }
            if set.isEverything { #expect(steps >= 4, "which, and two segments at a time") }
        }
    }

    @Test("counts what is there of a segment whose beginning has been deleted")
    func trimmed() throws {
        let log = try TestLog()
        for _ in 0..<5 { try log.store.publish((0..<4_000).map { Draft("t/\($0 % 2)", level: .stored) }) }
        // Lists are written when there is time.
        for _ in 0..<1_000 {
            guard try log.store.rest() != nil else { break }
            log.monotonic.advance(seconds: 1)
        }
        try log.store.close()
        let shell = try Shell(log.path)
        #expect(try shell.run("SELECT sealed_through FROM log") == [["16383"]])
        try shell.run("DELETE FROM message WHERE seq <= 1001")
        try shell.run("UPDATE log SET trimmed_through = 1001")
        shell.close()
        let store = try TestLog.open(log.path)
        #expect(try store.topics(.all, afterID: 0, countMax: 10).rows.map(\.messages) == [9_499, 9_500])
        #expect(try store.start(.last(100_000), filters: filters("t/0")) == 1_001)
        try store.close()
    }

    @Test("page-bytes: keeps no more names than that, and looks at no more than some megabytes of them at a time")
    func bytes() throws {
        let log = try TestLog()
        let long = String(repeating: "x", count: 60_000)
        try log.store.publish((0..<100).map { Draft("\(long)/\($0)", level: .stored) } + [Draft("short")])
        let page = try log.store.topics(.all, afterID: 0, countMax: 1_000, bytesMax: 200_000)
        #expect(page.rows.count == 4, "the one that goes over it is the last")
        #expect(page.next == 4)
        #expect(try log.store.topics(.all, afterID: 4, countMax: 1_000, bytesMax: 1).rows.count == 1)
        let first = try log.store.topics(filters("short"), afterID: 0, countMax: 1_000)
        #expect(first.rows.isEmpty && first.next ?? 0 < 100, "six megabytes were looked at at once")
        let second = try log.store.topics(filters("short"), afterID: try #require(first.next), countMax: 1_000)
        #expect(second.rows == [TopicRow(topic: "short", messages: 1, lastSeq: 101)])
    }

    @Test("passes over holes at once, however long")
    func holes() throws {
        let log = try TestLog()
        try log.store.publish("t", count: 10)
        try log.store.close()
        let shell = try Shell(log.path)
        let far: Seq = 1 << 60
        try shell.run("UPDATE message SET seq = seq + \(far) WHERE seq > 5")
        shell.close()
        let store = try TestLog.open(log.path)
        let page = try store.topics(.all, afterID: 0, countMax: 10)
        #expect(page.rows == [TopicRow(topic: "t", messages: 10, lastSeq: far + 10)])
        #expect(try store.start(.last(6), filters: .all) == 4)
        try store.close()
    }
}
