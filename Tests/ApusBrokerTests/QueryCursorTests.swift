import ApusModel
import ApusTesting
import NIOCore
import Testing

@testable import ApusBroker

/// Writes down a query's rows.
private final class RowOutlet: QueryOutlet {
    let id = ConnectionID(hub: 0, number: 1)
    var isWritable = true
    private(set) var rows: [String] = []
    private(set) var end: (count: UInt64, reason: String)?
    private(set) var failure: ApusError?

    func rows(_ query: QueryCursor, _ batch: MessageBatch, _ range: Range<Int>) {
        rows += batch.messages[range].map { "\($0.seq)" }
    }
    func row(_ query: QueryCursor, _ topic: TopicRow) { rows.append(topic.topic) }
    func row(_ query: QueryCursor, _ status: LogStatus) { rows.append("head \(status.head)") }
    func ended(_ query: QueryCursor, count: UInt64, reason: String) { end = (count, reason) }
    func failed(_ query: QueryCursor, _ error: ApusError) { failure = error }
    func flush() {}
}

@Suite("A query")
struct QueryCursorTests {
    private let store = MemoryStore()
    private let workers = WorkerPool()
    private let loop = ManualLoop()
    private let outlet = RowOutlet()

    init() throws {
        for topic in ["a", "b", "a", "c", "a"] { _ = try store.append([.publish(try submission([topic]))]) }
        let workers = workers
        onThread { workers.run() }
    }

    private func query(
        _ selection: QueryCursor.Selection, limit: UInt64? = nil, credit: UInt64? = nil, pageBytes: Int = 1,
        outlet: RowOutlet? = nil
    ) -> QueryCursor {
        var limits = Limits.defaults
        limits.pageBytesMax = pageBytes
        return QueryCursor(
            number: 1, selection: selection, limit: limit, credit: credit, log: store, workers: workers, loop: loop,
            limits: limits, outlet: outlet ?? self.outlet)
    }

    /// Turns the loop until the query rests.
    private func run(_ query: QueryCursor) throws {
        query.resume()
        while query.isReading {
            try loop.wait(forTasks: 1)
            loop.run()
        }
    }

    @Test("of the history gives every row in its order, and says how many there were")
    func givesHistory() throws {
        var selection = HistorySelection()
        selection.filters = try filters("a")
        try run(query(.history(selection)))
        #expect(outlet.rows == ["1", "3", "5"])
        #expect(outlet.end?.count == 3)
        #expect(outlet.end?.reason == "complete")
    }

    @Test("ends at its limit")
    func endsAtItsLimit() throws {
        try run(query(.history(HistorySelection()), limit: 2, pageBytes: 1_000))
        #expect(outlet.rows == ["1", "2"])
        #expect(outlet.end?.reason == "limit")
    }

    @Test("goes on as credit comes, and ends without more of it once it has given its last row")
    func followsCredit() throws {
        let query = query(.history(HistorySelection()), credit: 2, pageBytes: 1_000)
        try run(query)
        #expect(outlet.rows == ["1", "2"])
        #expect(outlet.end == nil)
        query.add(credit: 3)
        try run(query)
        #expect(outlet.rows == ["1", "2", "3", "4", "5"])
        #expect(outlet.end?.count == 5, "the end is no row")
    }

    @Test("takes credit that saturates instead of wrapping around")
    func creditSaturates() throws {
        let query = query(.history(HistorySelection()), credit: 1, pageBytes: 1_000)
        query.add(credit: .max)
        query.add(credit: .max)
        try run(query)
        #expect(outlet.rows.count == 5)
        #expect(outlet.end?.reason == "complete")
    }

    @Test("of topics ends without more credit, too")
    func givesTopics() throws {
        let query = query(.topics(.all), credit: 2)
        try run(query)
        #expect(outlet.rows == ["a", "b"])
        #expect(outlet.end == nil)
        query.add(credit: 1)
        try run(query)
        #expect(outlet.rows == ["a", "b", "c"])
        #expect(outlet.end?.count == 3)
    }

    @Test("of the status is one row")
    func givesStatus() throws {
        try run(query(.status))
        #expect(outlet.rows == ["head 5"])
        #expect(outlet.end?.count == 1)
    }

    @Test("stands still while its connection takes nothing")
    func standsStill() throws {
        outlet.isWritable = false
        let query = query(.history(HistorySelection()))
        try run(query)
        #expect(outlet.rows.isEmpty)
        #expect(store.pagesRead == 0)
        outlet.isWritable = true
        try run(query)
        #expect(outlet.rows.count == 5)
    }

    @Test("that was cancelled says nothing more, also where a read is on its way")
    func isCancelled() throws {
        let query = query(.history(HistorySelection()))
        query.resume()
        query.cancel()
        try loop.wait(forTasks: 1)
        loop.run()
        #expect(outlet.rows.isEmpty)
        #expect(outlet.end == nil)
    }

    /// Lets what has been asked for be done, and turns the loop.
    private func turn() throws {
        let isDone = Watched(false)
        workers.perform { isDone.change { $0 = true } }
        try isDone.wait("the reads") { $0 }
        loop.run()
    }

    @Test("whose look-up has no end delays no other one, and is not continued when it is cancelled")
    func endlessLookUps() throws {
        store.setFaults { $0.hasEndlessLookUps = true }
        let endless = [query(.topics(.all)), query(.history(HistorySelection()))]
        for query in endless { query.resume() }
        for _ in 0..<3 { try turn() }
        #expect(store.lookUpSteps >= 4)
        let other = RowOutlet()
        let status = query(.status, outlet: other)
        status.resume()
        try turn()
        #expect(other.rows == ["head 5"], "it waits for one step of each")
        for query in endless { query.cancel() }
        // What is on its way ends.
        try turn()
        let steps = store.lookUpSteps
        for _ in 0..<3 { try turn() }
        #expect(store.lookUpSteps == steps)
        #expect(endless.allSatisfy { !$0.isReading })
        #expect(outlet.rows.isEmpty && outlet.end == nil)
    }

    @Test("whose connection takes nothing does not go on looking")
    func unwritableLookUp() throws {
        store.setFaults { $0.hasEndlessLookUps = true }
        let query = query(.topics(.all))
        query.resume()
        try turn()
        outlet.isWritable = false
        try turn()
        let steps = store.lookUpSteps
        try turn()
        #expect(store.lookUpSteps == steps)
        store.setFaults { $0.hasEndlessLookUps = false }
        outlet.isWritable = true
        try run(query)
        #expect(outlet.rows == ["a", "b", "c"])
    }
}
