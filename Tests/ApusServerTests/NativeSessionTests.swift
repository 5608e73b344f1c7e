import ApusBroker
import ApusModel
import ApusWire
import NIOCore
import Testing

@testable import ApusServer

/// The code of the error that an action sends, and whether the conversation ends with it.
struct Refusal: Equatable, CustomStringConvertible {
    var code: ApusError.Code
    var isEnd: Bool
    var description: String { "\(code.rawValue)\(isEnd ? ", the end" : "")" }

    init?(_ action: NativeSession.Action) {
        switch action {
        case .reply(.error(let reply)): (code, isEnd) = (reply.error.code, false)
        case .finish(.error(let reply)): (code, isEnd) = (reply.error.code, true)
        default: return nil
        }
    }

    init(_ code: ApusError.Code, isEnd: Bool = false) { (self.code, self.isEnd) = (code, isEnd) }
}

private let start = NIODeadline.uptimeNanoseconds(1_000_000_000)

private func makeSession(
    _ admittance: NativeSession.Admittance = .everybody, _ change: (inout Limits) -> Void = { _ in }
) -> NativeSession {
    var limits = Limits.defaults
    // Out of the way of the other clocks.
    limits.peerTimeoutSeconds = 86_400
    limits.helloSeconds = 86_401
    change(&limits)
    return NativeSession(limits: limits, log: "log", clientID: "made-up", admittance: admittance, now: start)
}

private func hello(_ change: (inout Hello) -> Void = { _ in }) -> Frame {
    var hello = Hello()
    change(&hello)
    return .hello(hello)
}

private func subscribe(_ number: UInt32, _ filters: [String] = ["a"]) throws -> Frame {
    let filters = try filters.map { (text) throws(ApusError) in try TopicFilter(text, levelsMax: 1_000) }
    return .subscribe(Subscribe(subscription: number, filters: filters))
}

@Suite("The conversation on a broker with users")
struct NativeLoginTests {
    @Test("waits until it is known who it is, and goes on as that user, whatever hello says")
    func logsIn() {
        var session = makeSession(.usersOnly)
        let hello = hello {
            ($0.user, $0.password, $0.publisher) = ("anna", "secret", "p")
        }
        guard case .authenticate(let asked) = session.received(hello) else {
            Issue.record("nobody is asked")
            return
        }
        #expect(asked.password == "secret")
        #expect(session.isAuthenticating)
        guard case .openPublisher("p", "otto") = session.authenticated(as: "otto", check: nil) else {
            Issue.record("the publisher's name is that user's own")
            return
        }
        guard case .reply(.welcome) = session.opened(PublisherHandle(rowID: 1, epoch: 1), lastID: 7) else {
            Issue.record("no welcome")
            return
        }
        #expect(Refusal(session.received(hello)) == Refusal(.unexpectedFrame, isEnd: true))
    }

    @Test("ends where the login is refused, and where it is no login")
    func refuses() {
        var session = makeSession(.usersOnly)
        _ = session.received(hello { $0.user = "anna" })
        let wrong = session.authenticationFailed(ApusError(.notAllowed, "wrong"))
        #expect(Refusal(wrong) == Refusal(.notAllowed, isEnd: true))
        #expect(session.isFinishing)
        // The answer comes when the conversation is over already.
        guard case .nothing = session.authenticated(as: "anna", check: nil) else {
            Issue.record("a conversation that is over goes on")
            return
        }
        #expect(session.isFinishing)
    }

    @Test("ends where the first frame is no hello, unless anonymous peers may be here")
    func wantsAHello() throws {
        for frame in [.ping, try subscribe(1), .credit(Credit(target: .query(1), credit: 1))] as [Frame] {
            var session = makeSession(.usersOnly)
            #expect(Refusal(session.received(frame)) == Refusal(.notAllowed, isEnd: true))
            var open = makeSession(.anonymous)
            #expect(Refusal(open.received(frame))?.isEnd != true)
        }
        var session = makeSession(.usersOnly)
        guard case .finish(.error(let reply)) = session.receivedPublish(id: 1, hasID: true) else {
            Issue.record("a publish is accepted")
            return
        }
        #expect(reply.error.code == .notAllowed)
        var leaving = makeSession(.usersOnly)
        guard case .finish(.goodbye) = leaving.received(.goodbye(reason: nil)) else {
            Issue.record("nobody needs a login to leave")
            return
        }
        var anonymous = makeSession(.anonymous)
        guard case .accept = anonymous.receivedPublish(id: 1, hasID: true) else {
            Issue.record("whether it may publish is another question")
            return
        }
    }

    @Test("asks again whether the login holds, when it is time, also while it is not read")
    func checksLogins() {
        var session = makeSession(.usersOnly)
        _ = session.received(hello { $0.token = "t" })
        _ = session.authenticated(as: "anna", check: start + .seconds(10))
        session.turnEnded(isInsideFrame: false, isReading: false, now: start)
        #expect(session.deadline == start + .seconds(10))
        guard case .nothing = session.passed(now: start + .seconds(9)) else {
            Issue.record("too early")
            return
        }
        guard case .checkLogin = session.passed(now: start + .seconds(10)) else {
            Issue.record("not asked")
            return
        }
        session.loginHolds(check: start + .seconds(20))
        #expect(session.deadline == start + .seconds(20))
        session.loginHolds(check: nil)
        #expect(session.deadline > start + .seconds(20))
    }
}

@Suite("The conversation")
struct NativeSessionTests {
    @Test("begins with a hello, which is answered with what the client may rely on")
    func welcomes() {
        var session = makeSession { $0.keepAliveSeconds = 60 }
        guard case .reply(.welcome(let welcome)) = session.received(hello { $0.keepAlive = 600 }) else {
            Issue.record("no welcome")
            return
        }
        #expect(welcome.clientID == "made-up")
        #expect(welcome.log == "log")
        #expect(welcome.lastID == nil)
        #expect(welcome.keepAlive == 60, "keep-alive: more is cut to the limit")
    }

    @Test("ends where a hello is not the first frame")
    func refusesALateHello() {
        var session = makeSession()
        _ = session.received(.ping)
        #expect(Refusal(session.received(hello())) == Refusal(.unexpectedFrame, isEnd: true))
        var twice = makeSession()
        _ = twice.received(hello())
        #expect(Refusal(twice.received(hello())) == Refusal(.unexpectedFrame, isEnd: true))
        var behindAPublish = makeSession()
        _ = behindAPublish.receivedPublish(id: 1, hasID: true)
        #expect(Refusal(behindAPublish.received(hello())) == Refusal(.unexpectedFrame, isEnd: true))
    }

    @Test("ends with another version of the protocol, or a name of a bad length")
    func refusesHellos() {
        for (change, code) in [
            ({ $0.version = 2 }, .unsupportedVersion),
            ({ $0.publisher = "" }, .invalidField),
            ({ $0.clientID = String(repeating: "x", count: 256) }, .invalidField),
            ({ $0.user = String(repeating: "ä", count: 128) }, .invalidField),
        ] as [((inout Hello) -> Void, ApusError.Code)] {
            var session = makeSession()
            #expect(Refusal(session.received(hello(change))) == Refusal(code, isEnd: true))
            #expect(session.isFinishing)
        }
    }

    @Test("waits for the writer where hello names a publisher, and tells it the last id recorded")
    func opensPublishers() {
        var session = makeSession()
        guard case .openPublisher("p", "u") = session.received(hello { ($0.publisher, $0.user) = ("p", "u") }) else {
            Issue.record("no publisher is opened")
            return
        }
        #expect(session.isOpening)
        guard case .reply(.welcome(let welcome)) = session.opened(PublisherHandle(rowID: 1, epoch: 1), lastID: 7) else {
            Issue.record("no welcome")
            return
        }
        #expect(welcome.lastID == 7)
        #expect(session.publisher == PublisherHandle(rowID: 1, epoch: 1))
        guard case .finish(let frame) = session.receivedPublish(id: 0, hasID: false), case .error(let reply) = frame
        else {
            Issue.record("a named publisher needs ids")
            return
        }
        #expect(reply.error.code == .missingField)
    }

    @Test("ends where the writer refuses the name")
    func refusesAPublisher() {
        var session = makeSession()
        _ = session.received(hello { $0.publisher = "p" })
        #expect(Refusal(session.openingFailed(ApusError(.tooMany, "too many"))) == Refusal(.tooMany, isEnd: true))
    }

    @Test("ends where ids do not strictly increase", arguments: [UInt64(5), 4, 0])
    func refusesIDsOutOfOrder(id: UInt64) {
        var session = makeSession()
        guard case .accept = session.receivedPublish(id: 5, hasID: true),
            case .accept = session.receivedPublish(id: 0, hasID: false),
            case .finish(.error(let reply)) = session.receivedPublish(id: id, hasID: true)
        else {
            Issue.record("accepted")
            return
        }
        #expect(reply.error.code == .idOrder)
        #expect(reply.error.isFatal)
    }

    @Test("max-subscriptions: one more is refused, and there is room again when one ends")
    func boundsSubscriptions() throws {
        var session = makeSession { $0.subscriptionsMax = 2 }
        for number in UInt32(1)...2 {
            guard case .subscribe = session.received(try subscribe(number)) else {
                Issue.record("refused")
                return
            }
        }
        #expect(Refusal(session.received(try subscribe(3))) == Refusal(.tooMany))
        _ = session.received(.unsubscribe(subscription: 1))
        guard case .subscribe = session.received(try subscribe(3)) else {
            Issue.record("there is room again")
            return
        }
        session.ended(subscription: 3)
        guard case .subscribe = session.received(try subscribe(4)) else {
            Issue.record("there is room again")
            return
        }
    }

    @Test("max-filters and max-filter-levels: a subscribe beyond them is refused")
    func boundsFilters() throws {
        var session = makeSession {
            $0.filtersMax = 2
            $0.filterLevelsMax = 3
        }
        #expect(Refusal(session.received(try subscribe(1, ["a", "b", "c"]))) == Refusal(.tooMany))
        #expect(Refusal(session.received(try subscribe(1, ["a/b/c/d"]))) == Refusal(.invalidFilter))
        guard case .subscribe = session.received(try subscribe(1, ["a/b/c", "b"])) else {
            Issue.record("a refused subscribe uses its number up")
            return
        }
    }

    @Test("filters-bytes: a subscribe beyond it is refused, and there is room again where another one ends")
    func boundsFiltersTogether() throws {
        let cost = try TopicFilter("a/b/c").cost
        var session = makeSession { $0.filtersBytesMax = 3 * cost }
        for number in UInt32(1)...3 {
            guard case .subscribe = session.received(try subscribe(number, ["a/b/c"])) else {
                Issue.record("subscription \(number) is refused")
                return
            }
        }
        #expect(Refusal(session.received(try subscribe(4, ["a/b/c"]))) == Refusal(.tooMany))
        _ = session.received(.unsubscribe(subscription: 1))
        #expect(Refusal(session.received(try subscribe(4, ["a/b/c/d"]))) == Refusal(.tooMany))
        session.ended(subscription: 2)
        guard case .subscribe = session.received(try subscribe(4, ["a/b/c", "a/b/d"])) else {
            Issue.record("there is room again")
            return
        }
    }

    @Test("a number that is in use is refused, an unknown one too")
    func refusesNumbers() throws {
        var session = makeSession()
        _ = session.received(try subscribe(1))
        #expect(Refusal(session.received(try subscribe(1))) == Refusal(.duplicateSubscription))
        #expect(Refusal(session.received(.unsubscribe(subscription: 2))) == Refusal(.unknownSubscription))
        let credit = Credit(target: .subscription(2), credit: 1)
        #expect(Refusal(session.received(.credit(credit))) == Refusal(.unknownSubscription))
        guard case .nothing = session.received(.credit(Credit(target: .query(2), credit: 1))) else {
            Issue.record("a query may have ended while credit for it was on its way")
            return
        }
    }

    @Test("max-queries: one more at a time is refused")
    func boundsQueries() {
        var session = makeSession { $0.queriesMax = 1 }
        guard case .query = session.received(.query(Query(query: 1, select: .status))) else {
            Issue.record("refused")
            return
        }
        #expect(Refusal(session.received(.query(Query(query: 1, select: .status)))) == Refusal(.duplicateSubscription))
        #expect(Refusal(session.received(.query(Query(query: 2, select: .status)))) == Refusal(.tooMany))
        session.ended(query: 1)
        guard case .query = session.received(.query(Query(query: 2, select: .status))) else {
            Issue.record("there is room again")
            return
        }
    }

    @Test("ends with frames that only the broker sends, goes on with acks that it does not support")
    func refusesFrames() {
        var session = makeSession()
        #expect(Refusal(session.received(.ack(subscription: 1, seq: 1))) == Refusal(.notSupported))
        #expect(
            Refusal(session.received(.subscribed(subscription: 1, next: 1))) == Refusal(.unexpectedFrame, isEnd: true))
    }
}

@Suite("Time in the conversation")
struct SessionTimeTests {
    private func passed(_ session: inout NativeSession, _ seconds: Double) -> Refusal? {
        Refusal(session.passed(now: start + .nanoseconds(Int64(seconds * 1e9))))
    }

    private func at(_ seconds: Double) -> NIODeadline { start + .nanoseconds(Int64(seconds * 1e9)) }

    @Test("keep-alive: a peer silent for half as long again is dead, not a moment earlier")
    func keepAliveExpires() {
        var session = makeSession()
        _ = session.received(hello { $0.keepAlive = 10 })
        session.receivedBytes(now: at(2))
        #expect(session.deadline == at(17))
        #expect(passed(&session, 16.9) == nil)
        #expect(passed(&session, 17) == Refusal(.keepAliveExpired, isEnd: true))
    }

    @Test("keep-alive: who asks for none is never dead")
    func noKeepAlive() {
        var session = makeSession()
        _ = session.received(hello())
        #expect(session.deadline == at(86_400))
        #expect(passed(&session, 86_399) == nil)
    }

    @Test("peer-timeout: the kernel is asked now and then whether the peer's machine answers")
    func checksThePeer() {
        var session = makeSession { $0.peerTimeoutSeconds = 60 }
        for time in [60.0, 120.0] {
            #expect(session.deadline == at(time))
            guard case .checkPeer = session.passed(now: at(time)) else {
                Issue.record("not asked at \(time)")
                return
            }
        }
    }

    @Test("clocks stand still while the broker itself does not read")
    func standsStill() {
        var session = makeSession { $0.frameTimeoutSeconds = 5 }
        _ = session.received(hello { $0.keepAlive = 10 })
        session.turnEnded(isInsideFrame: true, isReading: false, now: at(1))
        #expect(session.deadline == at(86_400))
        #expect(passed(&session, 100) == nil)
        session.turnEnded(isInsideFrame: true, isReading: true, now: at(100))
        #expect(session.deadline == at(105), "the frame's time begins anew")
        session.completedFrame()
        session.turnEnded(isInsideFrame: false, isReading: true, now: at(101))
        #expect(session.deadline == at(115), "and so does the peer's silence")
    }

    @Test("frame-timeout: counts from a frame's first byte, however much of it trickles in")
    func frameExpires() {
        var session = makeSession { $0.frameTimeoutSeconds = 5 }
        session.turnEnded(isInsideFrame: true, isReading: true, now: at(0))
        for second in 1...4 {
            session.receivedBytes(now: at(Double(second)))
            session.turnEnded(isInsideFrame: true, isReading: true, now: at(Double(second)))
        }
        #expect(passed(&session, 4.9) == nil)
        #expect(passed(&session, 5) == Refusal(.frameTimeout, isEnd: true))
    }

    @Test("frame-timeout: one frame after the other is no slow frame")
    func framesInARow() {
        var session = makeSession { $0.frameTimeoutSeconds = 5 }
        for second in 0..<20 {
            session.completedFrame()
            session.turnEnded(isInsideFrame: true, isReading: true, now: at(Double(second)))
        }
        #expect(passed(&session, 20) == nil)
    }

    @Test("peer-timeout: the peer's machine is looked at from time to time, also while the broker is not reading")
    func looksAtThePeer() {
        var session = makeSession { $0.peerTimeoutSeconds = 60 }
        session.turnEnded(isInsideFrame: false, isReading: false, now: at(1))
        for time in [60.0, 120] {
            guard case .nothing = session.passed(now: at(time - 1)), case .checkPeer = session.passed(now: at(time))
            else {
                Issue.record("no look at \(time)")
                return
            }
        }
    }

    @Test(
        "a half-closed peer, which cannot ping, is pinged: as often as it would have, or as it would have to at the least",
        arguments: [(10, 10), (nil, 60)] as [(UInt64?, Double)])
    func pingsTheHalfClosed(keepAlive: UInt64?, seconds: Double) {
        var session = makeSession { $0.keepAliveSeconds = 60 }
        _ = session.received(hello { $0.keepAlive = keepAlive })
        session.inputClosed(now: at(5))
        for time in [5 + seconds, 5 + 2 * seconds] {
            #expect(session.deadline == at(time))
            #expect(passed(&session, time - 1) == nil)
            guard case .reply(.ping) = session.passed(now: at(time)) else {
                Issue.record("no ping at \(time)")
                return
            }
        }
    }
}
