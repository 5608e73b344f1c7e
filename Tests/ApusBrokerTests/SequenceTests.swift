import ApusModel
import ApusTesting
import Testing

@testable import ApusBroker

/// Live, behind and replay are one path: whatever a subscriber's pace, it gets the same sequence.
@Suite("What a subscriber gets")
struct SequenceTests {
    private static let topics = ["a", "b", "a/b", "c", "$s"]
    private static let filters = [["#"], ["a"], ["a", "+/b"], ["b", "c"], ["nothing"], ["$s", "a/#"], ["+"]]

    private struct Subscriber {
        let outlet: ScriptedOutlet
        let subscription: Subscription
        let after: Seq
    }

    @Test("is every matching message once, in the order of seqs, at any pace", arguments: UInt64(1)...12)
    func isComplete(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        var limits = Limits.defaults
        limits.tailBytesMax = [1, 2_000, 20_000].randomElement(using: &random) ?? 1
        limits.pageBytesMax = [1, 10, 1_000].randomElement(using: &random) ?? 1
        limits.pagesBytesMax = [1, 100_000].randomElement(using: &random) ?? 1
        limits.batchRowsMax = [1, 5, 1_000].randomElement(using: &random) ?? 1
        limits.nameCacheEntries = 2
        let bench = HubBench(limits: limits)
        var subscribers: [Subscriber] = []
        var names: [Seq: String] = [:]

        func commit() throws {
            let hole: Seq = random.isTrue(20) ? Seq.random(in: 1...9, using: &random) : 0
            bench.store.setFaults { $0.hole = hole }
            let some = (0..<Int.random(in: 1...8, using: &random)).map { _ in
                Self.topics.randomElement(using: &random) ?? "a"
            }
            let first = bench.store.head + hole + 1
            for (index, name) in some.enumerated() { names[first + Seq(index)] = name }
            try bench.commit(some)
        }

        func subscribe() throws {
            let outlet = ScriptedOutlet()
            outlet.room = random.isTrue(50) ? .max : 0
            outlet.chunkMessages = random.isTrue(50) ? .max : 1
            let isNow = random.isTrue(40)
            let from = Seq.random(in: 1...(bench.store.head + 1), using: &random)
            let subscription = try bench.subscribe(
                Self.filters.randomElement(using: &random) ?? ["#"], from: isNow ? .now : .seq(from),
                credit: random.isTrue(50) ? nil : UInt64.random(in: 0...3, using: &random), outlet: outlet)
            // What is committed and not announced yet comes for who begins now.
            let after = isNow ? subscription.position : from - 1
            subscribers.append(Subscriber(outlet: outlet, subscription: subscription, after: after))
        }

        for _ in 0..<300 {
            switch Int.random(in: 0..<100, using: &random) {
            case ..<35: try commit()
            case ..<55: bench.turn()
            case ..<65: try bench.read()
            case ..<72: if subscribers.count < 12 { try subscribe() }
            case ..<75:
                guard let index = subscribers.indices.randomElement(using: &random) else { break }
                let gone = subscribers.remove(at: index)
                bench.unsubscribe(gone.subscription)
                check(gone, names, through: nil)
            case ..<88:
                guard let subscriber = subscribers.randomElement(using: &random) else { break }
                subscriber.outlet.room = Int.random(in: 0...3, using: &random)
                bench.hub.resume(subscriber.subscription)
            default:
                guard let subscriber = subscribers.randomElement(using: &random) else { break }
                bench.hub.add(credit: UInt64.random(in: 0...4, using: &random), to: subscriber.subscription)
            }
        }
        for subscriber in subscribers {
            subscriber.outlet.room = .max
            bench.hub.add(credit: .max, to: subscriber.subscription)
            bench.hub.resume(subscriber.subscription)
        }
        try bench.settle()
        for subscriber in subscribers { check(subscriber, names, through: bench.store.head) }
    }

    /// - Parameter through: nil where it left early: then what came is the beginning of what would have come.
    private func check(_ subscriber: Subscriber, _ names: [Seq: String], through: Seq?) {
        let expected = names.filter { seq, name in
            guard seq > subscriber.after, let topic = try? Topic(name) else { return false }
            return subscriber.subscription.filters.matches(topic)
        }.keys.sorted()
        let got = subscriber.outlet.messages
        if through == nil {
            #expect(got == Array(expected.prefix(got.count)))
        } else {
            #expect(got == expected)
        }
        let others = subscriber.outlet.events.filter { event in
            switch event {
            case .gap, .failed, .retained: true
            default: false
            }
        }
        #expect(others.isEmpty, "nothing is missing, and nothing failed")
    }

    @Test("is, with the gaps, every matching message once, where messages expire on the way", arguments: UInt64(1)...8)
    func isCompleteWithGaps(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        var limits = Limits.defaults
        limits.tailBytesMax = [1, 2_000].randomElement(using: &random) ?? 1
        limits.pageBytesMax = [3, 1_000].randomElement(using: &random) ?? 1
        limits.pagesBytesMax = [1, 100_000].randomElement(using: &random) ?? 1
        let bench = HubBench(limits: limits)
        var subscribers: [Subscriber] = []
        for _ in 0..<400 {
            switch Int.random(in: 0..<100, using: &random) {
            case ..<40:
                let names = (0..<Int.random(in: 1...4, using: &random)).map { _ in random.isTrue(80) ? "a" : "b" }
                try bench.commit(names, ttl: random.isTrue(60) ? 10 : 0)
            case ..<50: bench.turn()
            case ..<65: try bench.read()
            case ..<72: bench.clock.advance(seconds: 4)
            case ..<80:
                guard subscribers.count < 8 else { break }
                let outlet = ScriptedOutlet()
                outlet.room = Int.random(in: 0...2, using: &random)
                outlet.chunkMessages = Int.random(in: 1...3, using: &random)
                let from = Seq.random(in: 1...(bench.store.head + 1), using: &random)
                let subscription = try bench.subscribe(["a"], from: .seq(from), outlet: outlet)
                subscribers.append(Subscriber(outlet: outlet, subscription: subscription, after: from - 1))
            default:
                guard let subscriber = subscribers.randomElement(using: &random) else { break }
                subscriber.outlet.room = Int.random(in: 0...2, using: &random)
                bench.hub.resume(subscriber.subscription)
            }
        }
        for subscriber in subscribers {
            subscriber.outlet.room = .max
            bench.hub.resume(subscriber.subscription)
        }
        try bench.settle()
        let all = try bench.store.page(
            PageRequest(
                filters: FilterSet([try TopicFilter("a")]), after: 0, through: bench.store.head, bytesMax: .max,
                countMax: .max))
        let matching = (all.messages.map(\.seq) + all.expired).sorted()
        for subscriber in subscribers {
            let gaps = subscriber.outlet.events.compactMap { if case .gap(let gap) = $0 { gap } else { nil } }
            let got = Set(subscriber.outlet.messages)
            #expect(got.count == subscriber.outlet.messages.count)
            let missing = matching.filter { $0 > subscriber.after && !got.contains($0) }
            var told: Seq = 0
            for gap in gaps {
                #expect(gap.from > told && gap.through >= gap.from, "in order, none twice")
                told = gap.through
                let inside = missing.filter { $0 >= gap.from && $0 <= gap.through }
                #expect(gap.count == UInt64(inside.count) && inside.first == gap.from && inside.last == gap.through)
            }
            #expect(gaps.reduce(0) { $0 + $1.count } == UInt64(missing.count), "every one is on record")
        }
    }
}
