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
        var random = SeededGenerator(seed)
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
}
