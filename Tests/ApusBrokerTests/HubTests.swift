import ApusModel
import ApusTesting
import Testing

@testable import ApusBroker

@Suite("The hub")
struct HubTests {
    @Test("a subscriber that begins now is told where, catches up at once, and gets what comes")
    func beginsNow() throws {
        let bench = HubBench()
        try bench.commit(["a", "a"])
        let outlet = ScriptedOutlet()
        try bench.subscribe(["a"], outlet: outlet)
        try bench.commit(["a", "b"])
        bench.turn()
        #expect(outlet.events == [.subscribed(next: 3), .caughtUp(2), .message(3)])
        #expect(bench.store.pagesRead == 0, "who is live reads nothing")
    }

    @Test("a replay says where it begins, and catches up once")
    func replays() throws {
        let bench = HubBench()
        try bench.commit(["a", "b", "a"])
        let outlet = ScriptedOutlet()
        try bench.subscribe(["a"], from: .start, outlet: outlet)
        try bench.settle()
        try bench.commit(["a"])
        bench.turn()
        #expect(outlet.events == [.subscribed(next: 1), .message(1), .message(3), .caughtUp(3), .message(4)])
    }

    @Test("an unmatched subscriber is not touched, and still gets the next match in full")
    func leavesOthersAlone() throws {
        let bench = HubBench()
        let (busy, quiet) = (ScriptedOutlet(), ScriptedOutlet())
        try bench.subscribe(["busy"], outlet: busy)
        try bench.subscribe(["quiet"], outlet: quiet)
        let before = quiet.flushes
        for _ in 0..<50 { try bench.commit(["busy"]) }
        bench.turn()
        #expect(busy.messages.count == 50)
        #expect(quiet.flushes == before, "neither written to nor flushed")
        #expect(quiet.encoded == 0)
        try bench.commit(["busy", "quiet"])
        bench.turn()
        #expect(quiet.messages == [52])
    }

    @Test("subscribers that wish the same share one encoded chunk; another number or filter gets its own")
    func sharesChunks() throws {
        let bench = HubBench()
        let outlets = (0..<10).map { _ in ScriptedOutlet() }
        for outlet in outlets { try bench.subscribe(["a"], outlet: outlet) }
        let (other, elsewhere) = (ScriptedOutlet(), ScriptedOutlet())
        try bench.subscribe(["a"], number: 2, outlet: other)
        try bench.subscribe(["#"], outlet: elsewhere)
        try bench.commit(["a", "b", "a"])
        bench.turn()
        #expect(outlets.reduce(0) { $0 + $1.encoded } == 1)
        #expect(outlets.allSatisfy { $0.messages == [1, 3] })
        #expect(other.encoded == 1)
        #expect(elsewhere.messages == [1, 2, 3])
    }

    @Test("one whose credit ends in the middle gets no shared chunk: neither more nor less than its credit")
    func creditEndsExactly() throws {
        let bench = HubBench()
        let (free, bounded) = (ScriptedOutlet(), ScriptedOutlet())
        try bench.subscribe(["a"], outlet: free)
        let subscription = try bench.subscribe(["a"], credit: 2, outlet: bounded)
        try bench.commit(["a", "a", "a", "a", "a"])
        bench.turn()
        #expect(free.messages == [1, 2, 3, 4, 5])
        #expect(bounded.messages == [1, 2])
        bench.hub.add(credit: 1, to: subscription)
        try bench.settle()
        #expect(bounded.messages == [1, 2, 3])
        bench.hub.add(credit: .max, to: subscription)
        bench.hub.add(credit: .max, to: subscription)
        try bench.settle()
        #expect(bounded.messages == [1, 2, 3, 4, 5], "credit saturates instead of wrapping around")
    }

    @Test("who takes nothing is no work for a batch: a route without a live subscription is passed over")
    func countsWhoIsLive() throws {
        let bench = HubBench()
        let outlets = (0..<4).map { _ in ScriptedOutlet() }
        var subscriptions = try outlets.map { try bench.subscribe(["a"], credit: 1, outlet: $0) }
        let route = subscriptions[0].route
        #expect(route.liveCount == 4)
        bench.unsubscribe(subscriptions.remove(at: 1))
        #expect(route.liveCount == 3 && route.subscriptions.count == 3)
        bench.hub.change(subscriptions[0], to: try filters("a", "b"))
        #expect(route.liveCount == 2 && subscriptions[0].route.liveCount == 1)
        // The first takes their credit, and they wait for more with the second.
        for _ in 0..<2 {
            try bench.commit(["a"])
            bench.turn()
        }
        #expect(route.liveCount == 0 && route.subscriptions.count == 2)
        bench.unsubscribe(subscriptions.removeLast())
        bench.hub.add(credit: 5, to: subscriptions[1])
        #expect(route.liveCount == 1 && subscriptions[1].isLive)
        try bench.commit(["a"])
        bench.turn()
        #expect(outlets.map(\.messages) == [[1], [], [1, 2, 3], [1]])
    }

    @Test("credit saturates: no sum of a client's numbers wraps around", arguments: [UInt64(1), .max])
    func creditSaturates(more: UInt64) throws {
        let bench = HubBench()
        let outlet = ScriptedOutlet()
        let subscription = try bench.subscribe(["a"], credit: .max, outlet: outlet)
        bench.hub.add(credit: more, to: subscription)
        #expect(subscription.credit == UInt64.max)
        try bench.commit(["a"])
        bench.turn()
        #expect(outlet.messages == [1])
        #expect(subscription.credit == UInt64.max - 1)
    }

    @Test("caught-up does not wait for credit: it is no message")
    func catchesUpWithoutCredit() throws {
        let bench = HubBench()
        try bench.commit(["a", "a"])
        let outlet = ScriptedOutlet()
        try bench.subscribe(["a"], from: .start, credit: 2, outlet: outlet)
        try bench.settle()
        #expect(outlet.events == [.subscribed(next: 1), .message(1), .message(2), .caughtUp(2)])
    }

    @Test("messages that expired are left out, and are on record as a gap", arguments: [true, false])
    func reportsExpired(isLive: Bool) throws {
        let bench = HubBench()
        let outlet = ScriptedOutlet()
        let subscription = try bench.subscribe(["a"], from: isLive ? .now : .start, outlet: outlet)
        try bench.settle()
        outlet.room = 0
        try bench.commit(["a"])
        try bench.commit(["a", "b", "a"], ttl: 10)
        bench.turn()
        bench.clock.advance(seconds: 10)
        outlet.room = .max
        bench.hub.resume(subscription)
        try bench.settle()
        #expect(outlet.messages == [1])
        #expect(outlet.events.last == .gap(Gap(from: 2, through: 4, count: 2, reason: .expired)))
    }

    @Test("a gap comes behind the messages that lie before its end: who resumes behind it has had them")
    func gapsComeBehind() throws {
        let bench = HubBench()
        try bench.commit(["a"])
        try bench.commit(["a"], ttl: 10)
        try bench.commit(["a"])
        try bench.commit(["a"], ttl: 10)
        bench.clock.advance(seconds: 10)
        let outlet = ScriptedOutlet()
        try bench.subscribe(["a"], from: .start, outlet: outlet)
        try bench.settle()
        #expect(
            outlet.events == [
                .subscribed(next: 1), .message(1), .message(3),
                .gap(Gap(from: 2, through: 4, count: 2, reason: .expired)), .caughtUp(4),
            ])
    }

    @Test("each expired message is told once, wherever the page that it is missing from is interrupted")
    func tellsExpiredOnce() throws {
        // No page is kept: what comes after an interruption is read again, from there.
        var limits = Limits.defaults
        limits.pagesBytesMax = 1
        let bench = HubBench(limits: limits)
        for seq in 1...7 { try bench.commit(["a"], ttl: seq % 2 == 0 ? 10 : 0) }
        bench.clock.advance(seconds: 10)
        let outlet = ScriptedOutlet()
        outlet.chunkMessages = 1
        outlet.room = 1
        let subscription = try bench.subscribe(["a"], from: .start, outlet: outlet)
        try bench.settle()
        outlet.room = .max
        bench.hub.resume(subscription)
        try bench.settle()
        #expect(
            outlet.events == [
                .subscribed(next: 1), .message(1), .gap(Gap(from: 2, through: 2, count: 1, reason: .expired)),
                .message(3), .message(5), .message(7), .gap(Gap(from: 4, through: 6, count: 2, reason: .expired)),
                .caughtUp(7),
            ])
    }

    @Test("who begins in the middle of a page that others have read is told of what expired behind its start only")
    func tellsExpiredOfItsOwnRange() throws {
        let bench = HubBench()
        for seq in 1...6 { try bench.commit(["a"], ttl: seq % 2 == 0 ? 10 : 0) }
        bench.clock.advance(seconds: 10)
        let (first, second) = (ScriptedOutlet(), ScriptedOutlet())
        try bench.subscribe(["a"], from: .start, outlet: first)
        try bench.settle()
        try bench.subscribe(["a"], from: .seq(4), outlet: second)
        try bench.settle()
        #expect(bench.store.pagesRead == 1, "they share it")
        #expect(first.events.contains(.gap(Gap(from: 2, through: 6, count: 3, reason: .expired))))
        #expect(
            second.events == [
                .subscribed(next: 4), .message(5), .gap(Gap(from: 4, through: 6, count: 2, reason: .expired)),
                .caughtUp(6),
            ])
    }

    @Test("last-per-topic gives the retained messages, marked, and then what came since")
    func givesRetained() throws {
        let bench = HubBench()
        for topic in ["a", "b", "a", "c"] { try bench.commit([topic], isRetained: true) }
        try bench.commit(["a"])
        try bench.commit(["b"], isRetained: true, payload: "")
        let outlet = ScriptedOutlet()
        try bench.subscribe(["a", "b", "c"], from: .lastPerTopic, outlet: outlet)
        try bench.read()
        // What is committed while the retained ones are read comes behind them.
        try bench.commit(["b"])
        try bench.settle()
        try bench.commit(["c"])
        try bench.settle()
        #expect(
            outlet.events.filter { $0 != .caughtUp(6) && $0 != .caughtUp(7) }
                == [.subscribed(next: 1), .retained(3), .retained(4), .message(7), .message(8)])
    }

    @Test("last-per-topic in an empty log goes straight on to live")
    func givesRetainedOfNothing() throws {
        let bench = HubBench()
        let outlet = ScriptedOutlet()
        try bench.subscribe(["a"], from: .lastPerTopic, outlet: outlet)
        try bench.settle()
        try bench.commit(["a"])
        bench.turn()
        #expect(outlet.events == [.subscribed(next: 1), .caughtUp(0), .message(1)])
    }

    @Test("nothing comes for who unsubscribed while its page was read")
    func unsubscribesDuringARead() throws {
        let bench = HubBench()
        try bench.commit(["a", "a"])
        let outlet = ScriptedOutlet()
        let subscription = try bench.subscribe(["a"], from: .start, outlet: outlet)
        try bench.read()
        #expect(subscription.isReading)
        bench.unsubscribe(subscription)
        try bench.settle()
        #expect(outlet.events == [.subscribed(next: 1)])
        #expect(bench.cursorCount == 0)
    }

    @Test("nothing comes for who unsubscribed while its start was looked up")
    func unsubscribesDuringALookUp() throws {
        let bench = HubBench()
        try bench.commit(["a"])
        let outlet = ScriptedOutlet()
        let subscription = try bench.subscribe(["a"], from: .start, outlet: outlet)
        bench.unsubscribe(subscription)
        try bench.settle()
        #expect(outlet.events.isEmpty)
    }

    @Test("a loop that lost its interest and regained it delivers nothing twice and leaves nothing out")
    func regainsInterest() throws {
        let bench = HubBench()
        let (first, second, third) = (ScriptedOutlet(), ScriptedOutlet(), ScriptedOutlet())
        let subscription = try bench.subscribe(["a"], outlet: first)
        try bench.commit(["a"])
        bench.unsubscribe(subscription)
        #expect(bench.hub.tailBytes == 0, "nobody pays for a tail that nobody reads")
        try bench.commit(["a"])
        try bench.subscribe(["a"], outlet: second)
        try bench.subscribe(["a"], from: .start, outlet: third)
        // Only now does the loop hear of what was announced before.
        try bench.commit(["a"])
        try bench.settle()
        #expect(first.messages.isEmpty)
        #expect(second.messages == [3])
        #expect(third.messages == [1, 2, 3])
    }

    @Test("a start beyond the log ends the subscription with log-changed, and no other")
    func refusesForeignSeqs() throws {
        let bench = HubBench()
        try bench.commit(["a"])
        let (outlet, other) = (ScriptedOutlet(), ScriptedOutlet())
        try bench.subscribe(["a"], outlet: other)
        try bench.subscribe(["a"], from: .seq(99), outlet: outlet)
        try bench.settle()
        try bench.commit(["a"])
        bench.turn()
        guard case .failed(let error)? = outlet.events.last else {
            Issue.record("it goes on: \(outlet.events)")
            return
        }
        #expect(error.code == .logChanged)
        #expect(other.messages == [2])
        #expect(bench.cursorCount == 1)
    }
}
