import ApusModel
import ApusWire
import NIOCore
import Testing

@testable import ApusClient

@Suite("The session, connecting and closing")
struct SessionTests {
    private let refused = ApusError(.unavailable, "refused")

    @Test("Hello is the first thing said, and nothing is published before the welcome")
    func hello() throws {
        var machine = Machine(publisher: "p")
        machine.session.start(machine.now)
        #expect(machine.actions().dials == 1)
        machine.session.dialed(machine.now)
        guard case .hello(let hello) = machine.actions().frames.first else { throw Unexpected() }
        #expect(hello.publisher == "p")
        try machine.publish(["a"])
        #expect(try machine.written().isEmpty)
        machine.welcome(lastID: 0)
        #expect(machine.actions().states == [.connected])
        #expect(try machine.written() == [1])
    }

    @Test("The first connect fails at once, unless it is to wait for the broker", arguments: [true, false])
    func firstConnect(waits: Bool) throws {
        var machine = Machine { $0.waitsForBroker = waits }
        machine.session.start(machine.now)
        machine.session.connectionLost(refused, machine.now)
        #expect(machine.actions().states == (waits ? [.reconnecting(attempt: 1, after: refused)] : [.closed]))
    }

    @Test("A lost connection ends a client that does not reconnect, with the error")
    func noReconnect() throws {
        var machine = Machine { $0.reconnects = false }
        machine.open()
        try machine.subscribe(1, next: 5)
        let token = try machine.publish(["a"])
        machine.session.connectionLost(ApusError(.connectionLost, "reset"), machine.now)
        let actions = machine.actions()
        #expect(actions.states == [.closed])
        #expect(actions.outcomes[token]?.code == .connectionLost)
        #expect(actions.ended == [1: .connectionLost])
        let late = try machine.publish(["b"])
        #expect(machine.actions().outcomes[late]?.code == .connectionLost)
    }

    @Test("Pauses between attempts double up to their bound, and half of each is random")
    func pauses() {
        var first = Backoff(milliseconds: 100...1_000, seed: 1)
        var second = Backoff(milliseconds: 100...1_000, seed: 2)
        var differs = false
        for most in [100, 200, 400, 800, 1_000, 1_000] {
            let pause = first.next()
            #expect((most / 2...most).contains(pause))
            if pause != second.next() { differs = true }
        }
        #expect(differs)
        for _ in 0..<200 { _ = first.next() }
        #expect((500...1_000).contains(first.next()))
    }

    @Test(
        "A refusal that would only come again is not retried",
        arguments: [ApusError.Code.notAllowed, .unsupportedVersion])
    func finalRefusal(code: ApusError.Code) throws {
        var machine = Machine { $0.waitsForBroker = true }
        machine.session.start(machine.now)
        machine.session.dialed(machine.now)
        machine.receive(.error(ErrorReply(.fatal(code, "no"))))
        #expect(machine.actions().states == [.closed])
    }

    @Test("A broker that is busy is tried again")
    func busy() throws {
        var machine = Machine { $0.waitsForBroker = true }
        machine.session.start(machine.now)
        machine.session.dialed(machine.now)
        machine.receive(.error(ErrorReply(.fatal(.tooMany, "busy"))))
        _ = machine.actions()
        machine.pass(.seconds(1))
        #expect(machine.actions().dials == 1)
    }

    @Test("A greeting that does not come is waited for within a bound")
    func silentGreeting() throws {
        var machine = Machine()
        machine.session.start(machine.now)
        machine.session.dialed(machine.now)
        _ = machine.actions()
        machine.live(.seconds(20))
        #expect(machine.actions().states == [.closed])
    }

    @Test("Frames that a broker does not send end the connection")
    func wrongFrames() throws {
        for frame in [
            Frame.hello(Hello()), .welcome(Welcome(clientID: "", log: "", lastID: nil, keepAlive: 0, limits: [:])),
            .subscribe(Subscribe(subscription: 1, filters: [])), .unsubscribe(subscription: 1),
            .ack(subscription: 1, seq: 1),
        ] {
            var machine = Machine()
            machine.open()
            machine.receive(frame)
            #expect(machine.actions().isDisconnected)
        }
        var machine = Machine()
        machine.session.start(machine.now)
        machine.session.dialed(machine.now)
        machine.receive(.pong)
        #expect(machine.actions().isDisconnected)
    }

    @Test("Answers that belong to nothing are passed over")
    func strayAnswers() throws {
        var machine = Machine()
        machine.open()
        for frame in [
            Frame.subscribed(subscription: 9, next: 1), .caughtUp(subscription: 9, seq: 1),
            .gap(GapNotice(subscription: 9, from: 1, to: 2, count: 1, reason: "")),
            .end(QueryEnd(query: 9, reason: "complete")), .pong,
            .error(ErrorReply(ApusError(.queryFailed, "x"), query: 9)),
            .invalid(ErrorReply(ApusError(.unknownKind, "a kind of the future"))),
        ] { machine.receive(frame) }
        #expect(machine.actions().isEmpty)
    }

    // MARK: Keep-alive

    @Test("Half a keep-alive without sending brings a ping, and an answer is waited for 1.5 keep-alives")
    func keepAlive() throws {
        var machine = Machine()
        machine.open(keepAlive: 10)
        machine.live(.milliseconds(4_999))
        #expect(machine.actions().pings == 0)
        machine.live(.milliseconds(1))
        #expect(machine.actions().pings == 1)
        machine.live(.milliseconds(14_999))
        #expect(!machine.actions().isDisconnected)
        machine.live(.milliseconds(1))
        let actions = machine.actions()
        #expect(actions.isDisconnected)
        guard case .reconnecting(_, let error) = actions.states.first else { throw Unexpected() }
        #expect(error.code == .keepAliveExpired)
    }

    @Test("A broker that answers lives")
    func keepAliveAnswered() throws {
        var machine = Machine()
        machine.open(keepAlive: 10)
        for _ in 0..<20 {
            machine.live(.seconds(5))
            #expect(machine.actions().pings == 1)
            machine.receive(.pong)
        }
        #expect(!machine.actions().isDisconnected)
    }

    @Test("One who only sends asks too, when nothing is heard")
    func keepAliveWhileSending() throws {
        var machine = Machine()
        machine.open(keepAlive: 10)
        for _ in 0..<30 {
            machine.live(.seconds(1))
            machine.session.keepAlive.sent(machine.now)
        }
        #expect(machine.actions().isDisconnected)
    }

    @Test("While the client itself does not read, silence is no death, and pings go out")
    func keepAliveHeld() throws {
        var machine = Machine { $0.receiveBytesMax = 1_000 }
        machine.open(keepAlive: 10)
        try machine.subscribe(1, next: 1)
        machine.messages(1...3, bytes: 1_000)
        machine.live(.seconds(100))
        let actions = machine.actions()
        #expect(!actions.isDisconnected)
        #expect(actions.pings >= 10)
        machine.session.consumed(.subscription(1), count: 3, bytes: 3_000, machine.now)
        machine.live(.seconds(20))
        #expect(machine.actions().isDisconnected)
    }

    @Test("The broker's ping is answered")
    func ping() throws {
        var machine = Machine()
        machine.open()
        machine.receive(.ping)
        guard case .pong = machine.actions().frames.first else { throw Unexpected() }
    }

    // MARK: Ending

    @Test("After the broker's goodbye nothing new is written, what is in flight is answered, then it reconnects")
    func goodbye() throws {
        var machine = Machine()
        machine.open()
        let token = try machine.publish(["a"])
        _ = try machine.written()
        machine.receive(.goodbye(reason: "restart"))
        let later = try machine.publish(["b"])
        #expect(try machine.written().isEmpty)
        #expect(!machine.actions().isDisconnected)
        machine.published(through: 1, seq: 1)
        let actions = machine.actions()
        #expect(actions.outcomes[token]?.value?.count == 1)
        #expect(actions.saysGoodbye)
        #expect(actions.isDisconnected)
        machine.redial()
        #expect(try machine.written() == [2])
        machine.published(through: 2, seq: 2)
        #expect(machine.actions().outcomes[later]?.value?.count == 1)
    }

    @Test("A broker that says goodbye and does not answer is not waited for longer than the drain")
    func goodbyeWithoutAnswer() throws {
        var machine = Machine()
        machine.open()
        try machine.publish(["a"])
        _ = try machine.written()
        machine.receive(.goodbye(reason: nil))
        machine.live(.milliseconds(9_999))
        #expect(!machine.actions().isDisconnected)
        machine.live(.milliseconds(1))
        #expect(machine.actions().isDisconnected)
    }

    private func left(_ actions: [ClientSession.Action]) -> [String]? {
        for case .closed(let messages, _) in actions { return messages.map { String(buffer: $0.payload) } }
        return nil
    }

    @Test("Closing waits for acknowledgements, says goodbye, and leaves when the broker does")
    func close() throws {
        var machine = Machine()
        machine.open()
        let token = try machine.publish(["a"])
        _ = try machine.written()
        machine.session.close(machine.now + .seconds(10), machine.now)
        let refused = try machine.publish(["b"])
        let waiting = machine.actions()
        #expect(!waiting.saysGoodbye)
        #expect(waiting.outcomes[refused]?.code == .closed)
        machine.published(through: 1, seq: 1)
        let actions = machine.actions()
        #expect(actions.outcomes[token]?.value?.count == 1)
        #expect(actions.saysGoodbye)
        #expect(left(actions) == nil)
        machine.session.connectionLost(ApusError(.connectionLost, "eof"), machine.now)
        #expect(left(machine.actions()) == [])
    }

    @Test("Closing gives up when its time is up, and returns what was not acknowledged")
    func closeTimeout() throws {
        var machine = Machine()
        machine.open()
        let token = try machine.publish(["a", "b", "c"])
        _ = try machine.written()
        machine.published(through: 1, seq: 1)
        machine.session.close(machine.now + .seconds(10), machine.now)
        machine.live(.seconds(10))
        let actions = machine.actions()
        #expect(actions.outcomes[token]?.code == .closed)
        #expect(actions.saysGoodbye)
        #expect(left(actions) == ["b", "c"])
    }

    @Test("Closing waits for a running query, and says goodbye when it has ended")
    func closeWithQuery() throws {
        var machine = Machine()
        machine.open()
        machine.session.query(Query(query: 3, select: .status), machine.now)
        machine.session.close(machine.now + .seconds(10), machine.now)
        machine.session.query(Query(query: 4, select: .status), machine.now)
        let waiting = machine.actions()
        #expect(!waiting.saysGoodbye)
        #expect(waiting.endedQueries.keys.sorted() == [4])
        machine.receive(.end(QueryEnd(query: 3, count: 1, reason: "complete")))
        let actions = machine.actions()
        #expect(actions.endedQueries == [3: nil])
        #expect(actions.saysGoodbye)
        #expect(left(actions) == nil)
    }

    @Test(
        "A query that has not ended when closing gives up ends with an error that names it", arguments: [true, false])
    func closeCutsQueryOff(isConnected: Bool) throws {
        var machine = Machine()
        machine.open()
        if !isConnected { machine.session.connectionLost(refused, machine.now) }
        var query = Query(query: 3, select: .history)
        query.filters = [try TopicFilter("a/#"), try TopicFilter("b")]
        machine.session.query(query, machine.now)
        machine.session.close(machine.now + .seconds(10), machine.now)
        if isConnected {
            machine.live(.milliseconds(9_999))
            #expect(machine.actions().endedQueries.isEmpty)
            machine.live(.milliseconds(1))
        }
        let actions = machine.actions()
        let error = try #require(actions.endedQueries[3] ?? nil)
        #expect(error.code == .closed)
        #expect(error.message.contains("the query of history (a/#, b)"))
        #expect(left(actions) == [])
    }

    @Test("Closing while there is no connection waits for one only if something is to be sent")
    func closeWhileDown() throws {
        var idle = Machine()
        idle.open()
        idle.session.connectionLost(refused, idle.now)
        idle.session.close(idle.now + .seconds(10), idle.now)
        #expect(left(idle.actions()) == [])

        var busy = Machine()
        busy.open()
        busy.session.connectionLost(refused, busy.now)
        let token = try busy.publish(["a"])
        busy.session.close(busy.now + .seconds(60), busy.now)
        busy.redial()
        #expect(try busy.written() == [1])
        busy.published(through: 1, seq: 1)
        let actions = busy.actions()
        #expect(actions.outcomes[token]?.value?.count == 1)
        #expect(actions.saysGoodbye)
    }
}
