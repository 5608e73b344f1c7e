import ApusBroker
import ApusModel
import ApusTesting
import Testing

@testable import ApusStore

@Suite("Names kept in memory")
struct NameCacheTests {
    private var limits: Limits {
        var limits = Limits.defaults
        limits.nameCacheBytes = 65_536
        return limits
    }

    private func topic(_ number: Int, bytes: Int) throws -> Topic {
        try Topic("\(number)/" + String(repeating: "x", count: bytes - 8))
    }

    @Test("name-cache-bytes: long topics make others be forgotten, however few", arguments: [100, 10_000, 60_000])
    func bytes(length: Int) throws {
        var byName = NameCache<Topic, NameEntry>(topics: limits)
        var byID = NameCache<Int64, Topic>(topics: limits)
        for number in 0..<500 {
            let topic = try topic(number, bytes: length)
            byName.insert(NameEntry(id: Int64(number)), for: topic)
            byID.insert(topic, for: Int64(number))
            #expect(byName.bytes <= 65_536 && byID.bytes <= 65_536)
        }
        // One that is larger than a half is looked up each time.
        #expect((byName[try topic(499, bytes: length)]?.id == 499) == (length < 20_000))
        #expect((byID[499] != nil) == (length < 20_000))
        byName.removeAll()
        #expect(byName.bytes == 0 && byName.count == 0)
    }

    @Test("What is asked for stays, and what is put in twice counts once")
    func keepsWhatIsUsed() throws {
        var cache = NameCache<Int64, Topic>(topics: limits)
        let used = try Topic("used")
        cache.insert(used, for: -1)
        for number in 0..<1_000 {
            cache.insert(try topic(number, bytes: 200), for: Int64(number))
            #expect(cache[-1] == used)
        }
        let before = cache.bytes
        for _ in 0..<1_000 { cache.insert(used, for: -1) }
        #expect(cache.bytes == before)
    }

    @Test("Topics as long as topics may be are recorded and read with little memory")
    func longTopics() throws {
        let log = try TestLog(limits: limits)
        let names = try (0..<60).map { try topic($0, bytes: 65_535).name }
        for _ in 0..<2 {
            for start in stride(from: 0, to: 60, by: 20) {
                try log.store.publish(names[start..<(start + 20)].map { Draft($0, level: .stored) })
            }
        }
        #expect(try log.store.status().topics == 60)
        let file = LogFile(path: log.path)
        let reader = try LogReader(
            ReaderSettings(
                file: file, use: .read, limits: limits, shared: SharedState(head: 120, trimmedThrough: 0),
                clock: { 0 }))
        defer { reader.close() }
        var after: Seq = 0
        var read: [String] = []
        while after < 120 {
            // Each look at other filters, which have texts, too.
            let set = FilterSet([try TopicFilter("#"), try TopicFilter(names[Int(after) % 60])])
            let page = try reader.page(
                PageRequest(filters: set, after: after, through: 120, bytesMax: 1 << 20, countMax: 7))
            read += page.rows.map(\.topic)
            after = page.through
            #expect(reader.nameBytes <= 65_536 * 2)
        }
        #expect(read == names + names)
    }
}
