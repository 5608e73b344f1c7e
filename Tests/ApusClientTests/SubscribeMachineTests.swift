import ApusModel
import ApusWire
import NIOCore
import Testing

@testable import ApusClient

@Suite("The session, subscribing")
struct SubscribeMachineTests {
    @Test("A subscription goes on after the last message that came")
    func resumesAfterMessage() throws {
        var machine = Machine()
        machine.open()
        try machine.subscribe(1, from: .start, next: 1)
        machine.messages(5...9)
        #expect(machine.actions().subscribes.map(\.from) == [.start])
        machine.reconnect()
        #expect(machine.actions().subscribes.map(\.from) == [.seq(10)])
    }

    @Test("A subscription that got nothing goes on where it began, not where now is by then")
    func resumesFromNext() throws {
        var machine = Machine()
        machine.open()
        try machine.subscribe(1, from: .now, next: 20)
        _ = machine.actions()
        machine.reconnect()
        #expect(machine.actions().subscribes.map(\.from) == [.seq(20)])
    }

    @Test("What was caught up with, or reported as a gap, is not asked for again")
    func resumesAfterEvents() throws {
        var machine = Machine()
        machine.open()
        try machine.subscribe(1, from: .start, next: 1)
        machine.receive(.caughtUp(subscription: 1, seq: 30))
        _ = machine.actions()
        machine.reconnect()
        #expect(machine.actions().subscribes.map(\.from) == [.seq(31)])
        machine.receive(.gap(GapNotice(subscription: 1, from: 31, to: 44, count: 9, reason: "retention")))
        guard case .event(1, .gap(from: 31, through: 44, count: 9, reason: "retention")) = machine.actions().first
        else { throw Unexpected() }
        machine.reconnect()
        #expect(machine.actions().subscribes.map(\.from) == [.seq(45)])
    }

    @Test("A subscription that was never accepted is asked for as it was")
    func neverAccepted() throws {
        var machine = Machine()
        machine.open()
        try machine.subscribe(1, from: .last(20))
        _ = machine.actions()
        machine.reconnect(log: "log-b")
        let actions = machine.actions()
        #expect(actions.subscribes.map(\.from) == [.last(20)])
        #expect(actions.ended.isEmpty)
    }

    @Test("The last of each topic is asked for again from the beginning, and what has come is left out")
    func lastPerTopic() throws {
        var machine = Machine()
        machine.open()
        try machine.subscribe(1, from: .lastPerTopic, next: 100)
        machine.messages(3...7)
        _ = machine.actions()
        machine.reconnect()
        let actions = machine.actions()
        #expect(actions.subscribes.map(\.from) == [.lastPerTopic])
        #expect(actions.contains { if case .skip(1, through: 7) = $0 { true } else { false } })
        machine.receive(.caughtUp(subscription: 1, seq: 99))
        machine.reconnect()
        #expect(machine.actions().subscribes.map(\.from) == [.seq(100)])
    }

    @Test("In another log nothing can be resumed: the subscription ends with log-changed")
    func logChanged() throws {
        var machine = Machine()
        machine.open(log: "log-a")
        try machine.subscribe(1, next: 5)
        _ = machine.actions()
        machine.reconnect(log: "log-b")
        let actions = machine.actions()
        #expect(actions.ended == [1: .logChanged])
        #expect(actions.subscribes.isEmpty)
    }

    @Test("A subscription that the broker refuses ends with its error")
    func refused() throws {
        var machine = Machine()
        machine.open()
        try machine.subscribe(1)
        machine.receive(.error(ErrorReply(ApusError(.notAllowed, "no"), subscription: 1)))
        #expect(machine.actions().ended == [1: .notAllowed])
        machine.messages(1...5)
        #expect(machine.actions().isEmpty)
    }

    // MARK: Credit

    @Test("Credit comes back as the application consumes, half a window at a time")
    func credit() throws {
        var machine = Machine()
        machine.open()
        try machine.subscribe(1, next: 1)
        #expect(machine.actions().subscribes.map(\.credit) == [256])
        machine.messages(1...256, bytes: 4_096)
        #expect(machine.actions().credits.isEmpty)
        machine.session.consumed(.subscription(1), count: 127, bytes: 127 * 4_096, machine.now)
        #expect(machine.actions().credits.isEmpty)
        machine.session.consumed(.subscription(1), count: 1, bytes: 4_096, machine.now)
        #expect(machine.actions().credits == [128])
    }

    @Test("The window follows the size of the messages, so that memory is bounded in bytes")
    func windowFollowsSize() {
        var small = CreditWindow(bytesMax: 1 << 20)
        var large = CreditWindow(bytesMax: 1 << 20)
        _ = small.start()
        _ = large.start()
        for _ in 0..<30 {
            _ = small.received(count: 10, bytes: 10 * 100)
            small.consumed(count: 10, bytes: 10 * 100)
            _ = large.received(count: 1, bytes: 100_000)
            large.consumed(count: 1, bytes: 100_000)
        }
        #expect(small.target == CreditWindow.messagesMax)
        #expect(large.target * 100_000 <= 1 << 20)
        #expect(large.target >= CreditWindow.messagesMin)
    }

    @Test("However messages come and are consumed, the broker is never left without credit", arguments: UInt64(1)...40)
    func neverStarves(seed: UInt64) {
        var random = Backoff(milliseconds: 1...1_000_000, seed: seed)
        func draw(_ bound: Int) -> Int { random.next() % bound }
        var window = CreditWindow(bytesMax: 1 << 16)
        var credit = Int(window.start())
        var queued: [Int] = []
        var takenCount = 0
        var takenBytes = 0
        for _ in 0..<2_000 {
            let size = draw(3) == 0 ? 40_000 : 300
            let count = min(credit, 1 + draw(50))
            if count > 0 {
                credit -= count
                queued += Array(repeating: size, count: count)
                _ = window.received(count: count, bytes: count * size)
            }
            if draw(2) == 0 || credit == 0 {
                // As the queue reports: everything is taken, and told when it is worth it.
                takenCount += queued.count
                takenBytes += queued.reduce(0, +)
                queued = []
                if takenCount >= window.reportEvery || takenBytes >= window.bytesMax / 4 {
                    window.consumed(count: takenCount, bytes: takenBytes)
                    takenCount = 0
                    takenBytes = 0
                }
            }
            credit += Int(window.replenish() ?? 0)
            #expect(credit > 0 || !queued.isEmpty)
            #expect(queued.isEmpty && takenBytes < window.bytesMax / 4 ? !window.isOver : true)
        }
    }

    @Test("Beyond the bound in bytes the socket is not read until half of it is consumed")
    func hold() throws {
        var machine = Machine { $0.receiveBytesMax = 10_000 }
        machine.open()
        try machine.subscribe(1, next: 1)
        machine.messages(1...10, bytes: 1_000)
        func isHeld(_ actions: [ClientSession.Action]) -> Bool {
            actions.contains { if case .holdReading = $0 { true } else { false } }
        }
        func isResumed(_ actions: [ClientSession.Action]) -> Bool {
            actions.contains { if case .resumeReading = $0 { true } else { false } }
        }
        #expect(!isHeld(machine.actions()))
        machine.messages(11...11, bytes: 1)
        #expect(isHeld(machine.actions()))
        machine.session.consumed(.subscription(1), count: 5, bytes: 5_000, machine.now)
        #expect(!isResumed(machine.actions()))
        machine.session.consumed(.subscription(1), count: 1, bytes: 1, machine.now)
        #expect(isResumed(machine.actions()))
        machine.messages(12...40, bytes: 1_000)
        #expect(isHeld(machine.actions()))
        machine.session.unsubscribe(1, machine.now)
        #expect(isResumed(machine.actions()))
    }

    @Test("While an answer is owed the socket is read all the same: it may stand behind messages")
    func readsForAnswers() throws {
        var machine = Machine { $0.receiveBytesMax = 10_000 }
        machine.open()
        try machine.subscribe(1, next: 1)
        machine.messages(1...20, bytes: 1_000)
        #expect(machine.session.isReadingHeld)
        try machine.publish(["a"])
        #expect(machine.session.isReadingHeld)
        _ = try machine.written()
        #expect(!machine.session.isReadingHeld)
        machine.messages(21...30, bytes: 1_000)
        #expect(!machine.session.isReadingHeld)
        machine.published(through: 1, seq: 40)
        #expect(machine.session.isReadingHeld)
        try machine.subscribe(2)
        #expect(!machine.session.isReadingHeld)
        machine.receive(.subscribed(subscription: 2, next: 1))
        #expect(machine.session.isReadingHeld)
        // Nothing more was granted meanwhile.
        #expect(machine.actions().credits.isEmpty)
    }

    // MARK: Queries

    @Test("A query that is under way when the connection is lost fails; one that was not sent is sent later")
    func queries() throws {
        var machine = Machine()
        machine.open()
        machine.session.query(Query(query: 1, select: .history), machine.now)
        machine.session.connectionLost(ApusError(.connectionLost, "reset"), machine.now)
        machine.session.query(Query(query: 2, select: .status), machine.now)
        func ended(_ actions: [ClientSession.Action]) -> [UInt32: ApusError.Code?] {
            var ended: [UInt32: ApusError.Code?] = [:]
            for case .endQuery(let number, let error) in actions { ended[number] = .some(error?.code) }
            return ended
        }
        #expect(ended(machine.actions()) == [1: .connectionLost])
        machine.redial()
        let frames = machine.actions().frames
        #expect(frames.contains { if case .query(let query) = $0 { query.query == 2 } else { false } })
        machine.receive(.error(ErrorReply(ApusError(.queryFailed, "no"), query: 2)))
        #expect(ended(machine.actions()) == [2: .queryFailed])
    }
}
