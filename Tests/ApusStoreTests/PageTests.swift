import ApusBroker
import ApusModel
import ApusStore
import ApusTesting
import Foundation
import NIOConcurrencyHelpers
import Testing

@Suite("Reading pages")
struct PageTests {
    /// Every filter's pages must be what matching each message gives.
    private func check(_ store: Store, _ all: [(seq: Seq, topic: Topic)], _ filters: FilterSet) throws {
        let expected = all.filter { filters.matches($0.topic) }.map(\.seq)
        #expect(try store.readSeqs(filters) == expected, "\(filters.filters)")
        for count in [1, 7, expected.count, expected.count + 1] where count > 0 {
            let start = try store.start(.last(count), filters: filters)
            let index = max(0, expected.count - count)
            #expect(index == expected.count || start < expected[index])
            #expect(index == 0 || start >= expected[index - 1])
        }
    }

    @Test("Posting lists and scans agree, sealed or not, after kills too", arguments: [1, 2] as [UInt64])
    func postingsEqualScan(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let log = try TestLog()
        var store = log.store
        var all: [(seq: Seq, topic: Topic)] = []
        let sets = [
            try filters("rare/0"), try filters("rare/+"), try filters("rare/#"), try filters("common/3"),
            try filters("common/#", "rare/1"), try filters("nothing/here"), try filters("+/1"), try filters("#"),
            try filters("common"), .all,
            // Readers who may not read everything that they ask for.
            try restricted(try filters("#"), ["rare/+"], deny: ["rare/1"]),
            try restricted(.all, ["#"], deny: ["common/#"]), try restricted(.all, ["rare/0", "rare/2"]),
            try restricted(try filters("common/#"), ["#"], deny: ["+/3"]),
            try restricted(try filters("rare/0", "common/3"), ["common/+", "nothing/#"]),
        ]
        for round in 0..<2 {
            for _ in 0..<10 {
                var drafts: [Draft] = []
                for _ in 0..<Int.random(in: 1_000..<3_000, using: &random) {
                    let isRare = Int.random(in: 0..<500, using: &random) == 0
                    let number = Int.random(in: 0..<(isRare ? 3 : 8), using: &random)
                    drafts.append(Draft("\(isRare ? "rare" : "common")/\(number)", "", level: .stored))
                }
                let batch = try #require(try store.publish(drafts).batch)
                all += batch.messages.map { ($0.seq, batch.topics[Int($0.topic)]) }
                for _ in 0..<Int.random(in: 0..<3, using: &random) { _ = try store.rest() }
            }
            for set in sets { try check(store, all, set) }
            if round == 0 {
                // Killed: a hole of reserved seqs, and lists that have to be built again.
                store = try TestLog.open(try log.copyAsKilled())
            }
        }
        for _ in 0..<200 { _ = try store.rest() }
        for set in sets { try check(store, all, set) }
        try store.close()
    }

    @Test("Lists of a segment with thousands of topics are written bit by bit, and are complete")
    func manyTopics() throws {
        let log = try TestLog()
        for start in stride(from: 0, to: 18_000, by: 3_000) {
            try log.store.publish((start..<(start + 3_000)).map { Draft("t/\($0)", "", level: .stored) })
        }
        for topic in ["t/0", "t/8191", "t/16382", "t/16383", "t/17999"] {
            #expect(try log.store.readAll(filters(topic)).map(\.topic) == [topic])
        }
        // A batch writes about as many lists as it has messages; resting writes the rest.
        var rests = 0
        while try log.store.rest() != nil, rests < 1_000 {
            log.monotonic.advance(seconds: 1)
            rests += 1
        }
        #expect(rests > 10 && rests < 200)
        let shell = try Shell(log.path, isReadOnly: true)
        #expect(try shell.run("SELECT count(*) FROM topic_segment") == [["16383"]])
        #expect(try shell.run("SELECT sealed_through FROM log") == [["16383"]])
        for topic in ["t/0", "t/8191", "t/16382", "t/16383", "t/17999"] {
            #expect(try log.store.readAll(filters(topic)).map(\.topic) == [topic])
        }
    }

    @Test("A page keeps its bounds, and one message larger than the bound still comes")
    func bounds() throws {
        let log = try TestLog()
        let large = String(repeating: "x", count: 10_000)
        try log.store.publish([Draft("t", "a"), Draft("t", large), Draft("t", "b"), Draft("t", "c")])
        func page(_ after: Seq, bytes: Int, count: Int) throws -> MessageBatch {
            try log.store.page(
                PageRequest(filters: .all, after: after, through: 4, bytesMax: bytes, countMax: count))
        }
        let first = try page(0, bytes: 1_000, count: 10)
        #expect(first.messages.map(\.seq) == [1] && first.through == 1)
        let second = try page(1, bytes: 1_000, count: 10)
        #expect(second.messages.map(\.seq) == [2] && second.through == 2)
        let counted = try page(2, bytes: 1_000_000, count: 1)
        #expect(counted.messages.map(\.seq) == [3] && counted.through == 3)
        #expect(try page(4, bytes: 1, count: 1).through == 4)
    }

    @Test("A damaged message ends the page before it, and is named where a page would begin with it")
    func damaged() throws {
        let log = try TestLog()
        try log.store.publish("t", count: 4)
        try log.store.close()
        _ = try Shell(log.path).run("UPDATE message SET payload = x'00' WHERE seq = 3")
        let queries = try Store.openReadOnly(path: log.path, limits: .defaults)
        func page(after: Seq) throws -> [Seq] {
            try queries.history(
                HistoryRequest(
                    selection: HistorySelection(), after: after, through: 4, bytesMax: 1 << 20, countMax: 100)
            ).messages.map(\.seq)
        }
        #expect(try page(after: 0) == [1, 2])
        let error = #expect(throws: ApusError.self) { try page(after: 2) }
        #expect(error?.code == .logDamaged && error?.message.contains("message 3 ") == true)
        #expect(try page(after: 3) == [4])
    }

    @Test("A posting list with a flipped bit is damage: it neither shows another topic's messages nor one twice")
    func damagedPostings() throws {
        let log = try TestLog()
        var drafts: [Draft] = []
        for _ in 0..<9_000 { drafts += [Draft("public", "", level: .stored), Draft("secret", "", level: .stored)] }
        // Thin enough that its rows are not read one after the other.
        for index in stride(from: 0, to: drafts.count, by: 100) { drafts[index].topic = "rare" }
        for start in stride(from: 0, to: drafts.count, by: 3_000) {
            try log.store.publish(Array(drafts[start..<(start + 3_000)]))
        }
        for _ in 0..<200 { _ = try log.store.rest() }
        #expect(try log.store.readAll(filters("rare")).count == 180)
        try log.store.close()
        // The distance of the third message: 100, then 99, which is a "secret" one's; then 0, the second one again.
        for byte in ["63", "00"] {
            let copy = log.directory.path("damaged-\(byte).db")
            try FileManager.default.copyItem(atPath: log.path, toPath: copy)
            _ = try Shell(copy).run(
                """
                UPDATE topic_segment SET seqs = CAST(substr(seqs, 1, 2) || x'\(byte)' || substr(seqs, 4) AS BLOB)
                WHERE segment = 0 AND topic = (SELECT id FROM topic WHERE name = 'rare')
                """)
            let store = try TestLog.open(copy)
            let error = #expect(throws: ApusError.self) { try store.readAll(filters("rare")) }
            #expect(error?.code == .logDamaged, "\(byte)")
            try store.close()
        }
    }

    @Test("A page never speaks for what is not committed yet")
    func neverAboveHead() throws {
        let log = try TestLog()
        try log.store.publish("t", count: 2)
        let page = try log.store.page(
            PageRequest(filters: try filters("other"), after: 0, through: 100, bytesMax: 1_000, countMax: 10))
        #expect(page.through == 2)
        let beyond = try log.store.page(
            PageRequest(filters: .all, after: 50, through: 100, bytesMax: 1_000, countMax: 10))
        #expect(beyond.after == 50 && beyond.through == 50 && beyond.messages.isEmpty)
    }

    @Test("A page covers the hole of a reservation at once")
    func holes() throws {
        let log = try TestLog()
        try log.store.publish("t", count: 1)
        let store = try TestLog.open(try log.copyAsKilled())
        let batch = try #require(try store.publish("t", count: 1).batch)
        #expect(batch.messages[0].seq > 60_000)
        let page = try store.page(
            PageRequest(filters: .all, after: 1, through: store.head, bytesMax: 1_000, countMax: 10))
        #expect(page.messages.map(\.seq) == batch.messages.map(\.seq))
        #expect(page.after == 1 && page.through == batch.through)
        try store.close()
    }

    @Test("Topics that begin with $ match no filter that begins with a wildcard, but a query for everything")
    func reservedTopics() throws {
        let log = try TestLog()
        try log.store.publish([Draft("$SYS/a"), Draft("a")])
        #expect(try log.store.readAll(filters("#")).map(\.topic) == ["a"])
        #expect(try log.store.readAll(filters("+/a")).map(\.topic) == [])
        #expect(try log.store.readAll(filters("$SYS/#")).map(\.topic) == ["$SYS/a"])
        #expect(try log.store.readAll().map(\.topic) == ["$SYS/a", "a"])
    }

    @Test("Expired messages are left out, and the page says which")
    func expired() throws {
        let log = try TestLog()
        try log.store.publish([
            Draft("t", "1", ttl: 10), Draft("t", "2"), Draft("t", "3", ttl: 10), Draft("t", "4", ttl: 60),
        ])
        #expect(try log.store.readAll().count == 4)
        log.clock.advance(seconds: 10)
        let page = try log.store.page(
            PageRequest(filters: .all, after: 0, through: 4, bytesMax: 1_000, countMax: 10))
        #expect(page.rows.map(\.payload) == ["2", "4"])
        #expect(page.expired == [1, 3])
    }

    @Test("What has been deleted is a gap")
    func trimmed() throws {
        let log = try TestLog()
        try log.store.publish("t", count: 10)
        try log.store.close()
        let shell = try Shell(log.path)
        try shell.run("DELETE FROM message WHERE seq <= 4")
        try shell.run("UPDATE log SET trimmed_through = 4")
        shell.close()
        let store = try TestLog.open(log.path)
        let page = try store.page(PageRequest(filters: .all, after: 1, through: 10, bytesMax: 9_999, countMax: 10))
        #expect(page.messages.map(\.seq) == Array(5...10))
        #expect(page.gaps == [Gap(from: 2, through: 4, count: 3, reason: .trimmed)])
        #expect(try store.start(.start, filters: .all) == 4)
        #expect(try store.start(.last(100), filters: .all) == 4)
        try store.close()
    }

    @Test("Readers on several threads see each message once and in order while it is written")
    func concurrentReaders() throws {
        let log = try TestLog()
        let store = log.store
        let total: Seq = 4_000
        let readers = try [FilterSet.all, filters("t/1"), filters("t/#"), filters("t/1", "t/2")].map { set in
            BackgroundThread {
                var seqs: [Seq] = []
                var position: Seq = 0
                while position < total {
                    let page = try store.page(
                        PageRequest(filters: set, after: position, through: .max, bytesMax: 9_999, countMax: 100))
                    seqs += page.messages.map(\.seq)
                    position = page.through
                }
                let share = set.isEverything || set.filters.count == 1 && set.filters[0].text == "t/#" ? 1 : 4
                let expected = share == 1 ? Int(total) : Int(total) / 4 * set.filters.count
                guard seqs.count == expected, seqs == seqs.sorted(), Set(seqs).count == seqs.count else {
                    throw Unexpected("\(set.filters): \(seqs.count) of \(expected)")
                }
            }
        }
        while store.head < total {
            try store.publish((0..<40).map { Draft("t/\($0 % 4)", "\($0)", level: .stored) })
            _ = try store.rest()
        }
        for reader in readers { try reader.join() }
    }
}
