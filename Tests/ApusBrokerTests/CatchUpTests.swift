import ApusModel
import ApusTesting
import Testing

@testable import ApusBroker

@Suite("Catching up")
struct CatchUpTests {
    private func limits(_ change: (inout Limits) -> Void) -> Limits {
        var limits = Limits.defaults
        change(&limits)
        return limits
    }

    @Test("pages-bytes: cursors in the same range share the pages that were read")
    func sharesPages() throws {
        let bench = HubBench(limits: limits { $0.pageBytesMax = 100 })
        for _ in 0..<100 { try bench.commit(["a"], payload: "0123456789") }
        let outlets = (0..<20).map { _ in ScriptedOutlet() }
        for outlet in outlets { try bench.subscribe(["a"], from: .start, outlet: outlet) }
        try bench.settle()
        #expect(outlets.allSatisfy { $0.messages == Array(1...100) })
        #expect(bench.store.pagesRead <= 11, "ten pages for one cursor are ten pages for twenty")
    }

    @Test("pages-bytes: pages beyond it are let go of")
    func boundsPages() throws {
        let bench = HubBench(
            limits: limits {
                $0.pageBytesMax = 1_000
                $0.pagesBytesMax = 10_000
            })
        for _ in 0..<100 { try bench.commit(["a"], payload: String(repeating: "x", count: 500)) }
        let outlet = ScriptedOutlet()
        try bench.subscribe(["a"], from: .start, outlet: outlet)
        try bench.settle()
        #expect(outlet.messages.count == 100)
        #expect(bench.pages.cachedBytes <= 10_000)
    }

    @Test("page-bytes: a read is no longer than that, nor than the subscriber's credit")
    func boundsReads() throws {
        let bench = HubBench(limits: limits { $0.pageBytesMax = 50 })
        for _ in 0..<20 { try bench.commit(["a"], payload: "0123456789") }
        let outlet = ScriptedOutlet()
        let subscription = try bench.subscribe(["a"], from: .start, credit: 3, outlet: outlet)
        try bench.settle()
        #expect(outlet.messages == [1, 2, 3])
        #expect(bench.store.pagesRead == 1)
        bench.hub.add(credit: 10, to: subscription)
        try bench.settle()
        #expect(outlet.messages == Array(1...13))
        #expect(bench.store.pagesRead <= 4, "five messages a page")
    }

    @Test("a page that was read for little credit does not make the others read in small pieces")
    func smallPagesAreNotShared() throws {
        let bench = HubBench()
        for _ in 0..<200 { try bench.commit(["a"]) }
        let slow = ScriptedOutlet()
        let subscription = try bench.subscribe(["a"], from: .start, credit: 1, outlet: slow)
        try bench.settle()
        for _ in 0..<100 {
            bench.hub.add(credit: 1, to: subscription)
            try bench.settle()
        }
        let before = bench.store.pagesRead
        let fast = ScriptedOutlet()
        var reads = 0
        try bench.subscribe(["a"], from: .start, outlet: fast)
        while fast.messages.count < 200 {
            try bench.read()
            reads += 1
        }
        #expect(reads <= 4, "one look-up and one page, not one page for each of the slow one's messages")
        #expect(bench.store.pagesRead - before <= 2)
    }

    @Test("tail-bytes: the tail is taken only from where it begins; what it dropped is read from the log")
    func meetsTheTail() throws {
        let bench = HubBench(limits: limits { $0.tailBytesMax = 1_500 })
        let (live, slow) = (ScriptedOutlet(), ScriptedOutlet())
        try bench.subscribe(["a"], outlet: live)
        let subscription = try bench.subscribe(["a"], outlet: slow)
        slow.room = 1
        for _ in 0..<50 {
            try bench.commit(["a"])
            bench.turn()
        }
        #expect(bench.hub.tailBytes <= 1_500)
        #expect(slow.messages == [1])
        slow.room = .max
        bench.hub.resume(subscription)
        try bench.settle()
        #expect(slow.messages == Array(1...50))
        #expect(live.messages == Array(1...50))
        #expect(bench.store.pagesRead > 0)
    }

    @Test("a stalled subscriber costs a number: no read, no chunk, no message is kept for it")
    func aStalledSubscriberCostsNothing() throws {
        let bench = HubBench(limits: limits { $0.tailBytesMax = 1_500 })
        let stalled = ScriptedOutlet()
        stalled.room = 0
        try bench.subscribe(["a"], outlet: stalled)
        for _ in 0..<200 { try bench.commit(["a"]) }
        bench.turn()
        #expect(stalled.encoded == 0)
        #expect(bench.store.pagesRead == 0)
        #expect(bench.hub.tailBytes <= 1_500)
    }

    @Test("a topic that very many different subscriptions match costs in proportion to them, not to their square")
    func manyRoutes() throws {
        func duration(_ routes: Int) throws -> Duration {
            let bench = HubBench()
            let outlet = ScriptedOutlet()
            for index in 0..<routes { try bench.subscribe(["own/\(index)", "all"], outlet: outlet) }
            try bench.commit(["all", "other"])
            let duration = ContinuousClock().measure { bench.turn() }
            #expect(outlet.messages.count == routes)
            return duration
        }
        // A ratio in one run, not a time: eight times as many; the square would be 64 times as much.
        let (few, many) = (try duration(1_250), try duration(10_000))
        #expect(many < few * 32 + .milliseconds(100), "\(few), \(many)")
    }

    @Test("a subscription whose start is looked for without end delays no other, and is not continued when it ends")
    func endlessLookUps() throws {
        let bench = HubBench()
        for _ in 0..<3 { try bench.commit(["a"]) }
        bench.store.setFaults { $0.hasEndlessLookUps = true }
        let outlets = [ScriptedOutlet(), ScriptedOutlet()]
        let endless = try outlets.map { try bench.subscribe(["a"], from: .last(2), outlet: $0) }
        for _ in 0..<3 { try bench.read() }
        #expect(bench.store.lookUpSteps >= 4)
        let other = ScriptedOutlet()
        try bench.subscribe(["a"], from: .start, outlet: other)
        // Where it begins, then its page; each waits for one step of each of the others.
        for _ in 0..<2 { try bench.read() }
        #expect(other.messages == [1, 2, 3])
        for subscription in endless { bench.unsubscribe(subscription) }
        try bench.read()
        let steps = bench.store.lookUpSteps
        for _ in 0..<3 { try bench.read() }
        #expect(bench.store.lookUpSteps == steps)
        #expect(outlets.allSatisfy { $0.events.isEmpty })
    }
}
