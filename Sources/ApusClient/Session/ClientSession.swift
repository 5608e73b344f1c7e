// The conversation with a broker, over all its connections. A value without I/O; time is a parameter.

internal import ApusModel
internal import ApusWire
internal import NIOCore

/// What a client does with what happens to it.
///
/// Inputs are facts (`dialed`, `received`, `connectionLost` …); what is to be done about them collects in `actions`,
/// which the owner performs after each input, in order. Messages and rows do not pass through here one by one: the owner
/// reports a read turn's together.
///
/// Phases: `idle` → `dialing` → `greeting` → `open` → (`leaving` |) `backoff` → `dialing` …, and from anywhere `closed`.
/// `draining` is `open` after the broker has said goodbye: nothing new is written, what is in flight may be answered.
struct ClientSession {
    struct Settings: Sendable {
        var hello: Hello
        var reconnects = true
        var waitsForBroker = false
        var backoffMilliseconds: ClosedRange<Int> = 100...10_000
        var connectTimeout = TimeAmount.seconds(10)
        var unsentBytesMax = 16 << 20
        var publishTimeout: TimeAmount?
        var receiveBytesMax = 1 << 20
        var seed: UInt64 = 0

        init(hello: Hello) { self.hello = hello }
    }

    enum Action {
        case dial
        case write(Frame)
        /// Let go of the connection, or of the attempt to make one.
        case disconnect
        case changeState(ApusClient.State)
        case welcomed(Welcome)
        case published(PublishWindow.Outcome)
        /// An enqueued batch has room.
        case admitted(token: UInt64)
        case flushed(token: UInt64, ApusError?)
        case subscribed(subscription: UInt32, next: Seq)
        /// Where the messages begin that the application has not had yet: those up to it are left out.
        case skip(subscription: UInt32, through: Seq)
        case event(subscription: UInt32, Subscription.SubscriptionEvent)
        /// With an error, or because it was cancelled or the client closed.
        case endSubscription(subscription: UInt32, ApusError?)
        case endQuery(query: UInt32, ApusError?)
        case reportEvery(Credit.Target, Int)
        case holdReading
        case resumeReading
        /// The end. What was handed over and not acknowledged.
        case closed(unacknowledged: [OutgoingMessage], ApusError?)
    }

    enum Phase {
        case idle
        case dialing(until: NIODeadline)
        case greeting(until: NIODeadline)
        case open
        case draining(until: NIODeadline)
        /// Goodbye is said; the broker closes.
        case leaving(until: NIODeadline)
        case backoff(until: NIODeadline)
        case closed(ApusError?)
    }

    struct SubscriptionState {
        var filters: [TopicFilter]
        var from: StartPosition
        /// Whether the broker has ever accepted it.
        var isEstablished = false
        /// What the application has had, or would have had if it matched: the next one is resumed from.
        var position: Seq?
        var hasCaughtUp = false
        var credit: CreditWindow
    }

    struct QueryState {
        var query: Query
        var isSent = false
        var credit: CreditWindow
    }

    struct Flush {
        var token: UInt64
        /// Everything before this id.
        var before: UInt64
    }

    /// For the broker to close after both sides said goodbye, and to answer what is in flight after it said so.
    static let farewell = TimeAmount.seconds(2)
    static let drain = TimeAmount.seconds(10)
    /// The dialer keeps the time itself, and knows more about what failed; a greeting gets so much at least.
    static let dialGrace = TimeAmount.seconds(1)
    /// A connection that held so long, or acknowledged something, was a good one: pauses begin anew after it.
    static let steady = TimeAmount.seconds(5)

    let settings: Settings
    var phase = Phase.idle
    var actions: [Action] = []
    var window: PublishWindow
    var subscriptions: [UInt32: SubscriptionState] = [:]
    var queries: [UInt32: QueryState] = [:]
    var keepAlive = KeepAlive()
    var isReadingHeld = false
    /// What has more buffered than memory allows.
    var overloaded: Set<Credit.Target> = []

    var backoff: Backoff
    var log: String?
    var openedAt = NIODeadline.uptimeNanoseconds(0)
    var flushes: [Flush] = []
    var enqueueError: ApusError?
    var closeDeadline: NIODeadline?

    init(settings: Settings) {
        self.settings = settings
        window = PublishWindow(bytesMax: settings.unsentBytesMax)
        backoff = Backoff(milliseconds: settings.backoffMilliseconds, seed: settings.seed)
    }

    /// What is to be done, in order.
    mutating func takeActions() -> [Action] {
        defer { actions.removeAll() }
        return actions
    }

    var isNamed: Bool { settings.hello.publisher != nil }

    /// Whether publishes may be written now.
    var canWritePublishes: Bool {
        if case .open = phase { window.hasQueued } else { false }
    }

    var isClosed: Bool {
        if case .closed = phase { true } else { false }
    }

    /// Whether frames can be exchanged.
    var isConversing: Bool {
        switch phase {
        case .open, .draining, .leaving: true
        default: false
        }
    }

    // MARK: Connecting

    mutating func start(_ now: NIODeadline) {
        guard case .idle = phase else { return }
        dial(now)
    }

    mutating func dial(_ now: NIODeadline) {
        phase = .dialing(until: now + settings.connectTimeout + ClientSession.dialGrace)
        actions.append(.dial)
    }

    mutating func dialed(_ now: NIODeadline) {
        guard case .dialing(let until) = phase else { return }
        phase = .greeting(until: until)
        actions.append(.write(.hello(settings.hello)))
    }

    /// The connection, or the attempt to make one, has ended.
    mutating func connectionLost(_ error: ApusError, _ now: NIODeadline) {
        switch phase {
        case .idle, .backoff, .closed: return
        case .leaving: return end(nil)
        case .dialing, .greeting, .open, .draining: break
        }
        let wasOpen = isConversing
        keepAlive.stop()
        if wasOpen {
            if now - openedAt >= ClientSession.steady { backoff.reset() }
            window.connectionLost(resends: isNamed, ClientSession.unknownOutcome(error))
            for (number, query) in queries where query.isSent { endQuery(number, error) }
            // The broker does not know them any more; what they buffer stays.
            resumeReading()
        }
        if !isConnectionToTry(after: error) { return end(error) }
        if closeDeadline != nil, !hasUnfinished { return end(nil) }
        let pause = backoff.next()
        phase = .backoff(until: now + .milliseconds(Int64(pause)))
        actions.append(.changeState(.reconnecting(attempt: backoff.attempt, after: error)))
        settle(now)
    }

    func isConnectionToTry(after error: ApusError) -> Bool {
        guard !ClientSession.isFinal(error) else { return false }
        return log == nil ? settings.waitsForBroker : settings.reconnects
    }

    /// What would only happen again after a reconnect, or must not be fought over.
    static func isFinal(_ error: ApusError) -> Bool {
        switch error.code {
        case .fenced, .unsupportedVersion, .notAllowed, .notSupported, .usage, .malformedFrame, .malformedHeader,
            .duplicateField, .unknownKind, .headerTooLarge, .messageTooLarge, .idOrder, .missingField, .invalidField:
            true
        default: false
        }
    }

    static func unknownOutcome(_ error: ApusError) -> ApusError {
        ApusError(
            .connectionLost, "the connection was lost before the publish was acknowledged: \(error.message)",
            hint: "Whether it was recorded is unknown. A publisher with a name would have sent it again, without "
                + "recording it twice.")
    }

    /// Drops the connection because of something that came over it, or did not come.
    mutating func drop(_ error: ApusError, _ now: NIODeadline) {
        actions.append(.disconnect)
        connectionLost(error, now)
    }

    mutating func opened(_ welcome: Welcome, _ now: NIODeadline) {
        guard welcome.version == Wire.version else {
            return drop(
                .fatal(.unsupportedVersion, "the broker speaks version \(welcome.version) of the protocol"), now)
        }
        if isNamed, !greet(lastID: welcome.lastID ?? 0, now) { return }
        openedAt = now
        keepAlive.start(seconds: welcome.keepAlive, now)
        let isOtherLog = log != nil && log != welcome.log
        log = welcome.log
        phase = .open
        actions.append(.welcomed(welcome))
        actions.append(.changeState(.connected))
        for number in subscriptions.keys.sorted() { resume(number, isOtherLog: isOtherLog) }
        for number in queries.keys.sorted() { sendQuery(number) }
        settle(now)
    }

    /// - Returns: false where somebody else has published under the name.
    mutating func greet(lastID: UInt64, _ now: NIODeadline) -> Bool {
        guard log != nil else {
            window.begin(after: lastID)
            return true
        }
        guard lastID <= window.writtenThrough else {
            let name = settings.hello.publisher ?? ""
            drop(
                .fatal(
                    .fenced, "another client has published as \"\(name)\" meanwhile, up to id \(lastID)",
                    hint: "Give each client a publisher name of its own."), now)
            return false
        }
        window.resolveDuplicates(through: lastID)
        return true
    }

    // MARK: What comes over the connection

    /// A frame other than `message` and `row`.
    mutating func received(_ frame: Frame, _ now: NIODeadline) {
        keepAlive.heard(now)
        switch phase {
        case .greeting:
            switch frame {
            case .welcome(let welcome): opened(welcome, now)
            case .error(let reply), .invalid(let reply): drop(reply.error, now)
            case .goodbye(let reason): drop(ClientSession.goingAway(reason), now)
            case .ping: actions.append(.write(.pong))
            default: drop(.fatal(.unexpectedFrame, "the broker did not begin with a welcome"), now)
            }
        case .open, .draining, .leaving: conversed(frame, now)
        case .idle, .dialing, .backoff, .closed: break
        }
        settle(now)
    }

    static func goingAway(_ reason: String?) -> ApusError {
        ApusError(.goingAway, "the broker said goodbye" + (reason.map { ": \($0)" } ?? ""))
    }

    mutating func conversed(_ frame: Frame, _ now: NIODeadline) {
        switch frame {
        case .published(let published):
            backoff.reset()
            guard window.published(published) else {
                return drop(.fatal(.unexpectedFrame, "the broker answered a publish that was never sent"), now)
            }
        case .error(let reply): failed(reply, now)
        case .subscribed(let number, let next): subscribed(number, next: next)
        case .caughtUp(let number, let seq):
            guard subscriptions[number] != nil else { return }
            subscriptions[number]?.hasCaughtUp = true
            advance(number, to: seq)
            actions.append(.event(subscription: number, .caughtUp(seq: seq)))
        case .gap(let gap):
            guard subscriptions[gap.subscription] != nil else { return }
            advance(gap.subscription, to: gap.to)
            actions.append(
                .event(
                    subscription: gap.subscription,
                    .gap(from: gap.from, through: gap.to, count: gap.count, reason: gap.reason)))
        case .end(let end): endQuery(end.query, nil)
        case .ping: actions.append(.write(.pong))
        case .pong, .message, .row: break
        case .goodbye(let reason):
            guard case .open = phase else { return }
            if window.inFlight == 0, queries.isEmpty {
                actions.append(.write(.goodbye(reason: nil)))
                return drop(ClientSession.goingAway(reason), now)
            }
            phase = .draining(until: now + ClientSession.drain)
        case .invalid(let reply):
            // A kind that a newer broker knows is passed over; a broken frame that names something ends it.
            if reply.subscription != nil || reply.query != nil { failed(reply, now) }
        case .hello, .welcome, .publish, .subscribe, .credit, .ack, .nack, .unsubscribe, .query:
            drop(.fatal(.unexpectedFrame, "the broker sent a frame that only a client sends"), now)
        }
    }

    mutating func failed(_ reply: ErrorReply, _ now: NIODeadline) {
        let error = reply.error
        if let id = reply.id {
            // Recorded ids of a named publisher stay a prefix: what may pass later is sent again, by its id and in its
            // order, after the connection on which the broker stopped taking publishes is gone.
            if isNamed, error.mayPassLater { return drop(error, now) }
            guard window.refused(through: id, count: reply.count, error) else {
                return drop(.fatal(.unexpectedFrame, "the broker refused a publish that was never sent"), now)
            }
        } else if let number = reply.subscription {
            if subscriptions[number] != nil { endSubscription(number, error) }
        } else if let number = reply.query {
            endQuery(number, error)
        }
        if error.isFatal { drop(error, now) }
    }

    // MARK: Closing

    /// Waits for what is in flight until `deadline`, publishes and queries; says goodbye, closes.
    mutating func close(_ deadline: NIODeadline, _ now: NIODeadline) {
        if isClosed { return }
        closeDeadline = min(closeDeadline ?? deadline, deadline)
        // What still comes for subscriptions is of no interest; answers are.
        for number in subscriptions.keys.sorted() { endSubscription(number, nil) }
        settle(now)
    }

    /// Whether somebody still waits for something that only the broker can give.
    var hasUnfinished: Bool { !window.isEmpty || (isConversing && !queries.isEmpty) }

    /// The client object is gone, or connecting was cancelled: nobody waits for anything.
    mutating func abandon() {
        if isConversing, !isLeaving { actions.append(.write(.goodbye(reason: nil))) }
        end(nil)
    }

    mutating func end(_ error: ApusError?) {
        if isClosed { return }
        phase = .closed(error)
        keepAlive.stop()
        actions.append(.disconnect)
        let unacknowledged = window.failAll(
            error ?? ApusError(.closed, "the client was closed before the publish was acknowledged"))
        report()
        for number in subscriptions.keys.sorted() { endSubscription(number, error) }
        for number in queries.keys.sorted() {
            endQuery(number, error ?? queries[number].map { ClientSession.cutOff($0.query) })
        }
        for flush in flushes {
            actions.append(.flushed(token: flush.token, enqueueError ?? ClientSession.closedError(error)))
        }
        flushes = []
        actions.append(.changeState(.closed))
        actions.append(.closed(unacknowledged: unacknowledged, error))
    }

    // MARK: After every input

    /// Reports what the window has finished, and goes on with whatever waited for it.
    mutating func settle(_ now: NIODeadline) {
        report()
        while let first = flushes.first, window.base >= first.before {
            flushes.removeFirst()
            actions.append(.flushed(token: first.token, enqueueError))
            enqueueError = nil
        }
        switch phase {
        case .draining where window.inFlight == 0 && queries.isEmpty:
            actions.append(.write(.goodbye(reason: nil)))
            drop(ClientSession.goingAway(nil), now)
        case .open where closeDeadline != nil && !hasUnfinished:
            actions.append(.write(.goodbye(reason: nil)))
            let until = min(closeDeadline ?? now, now + ClientSession.farewell)
            phase = .leaving(until: until)
        case .idle where closeDeadline != nil, .dialing where closeDeadline != nil && !hasUnfinished,
            .greeting where closeDeadline != nil && !hasUnfinished,
            .backoff where closeDeadline != nil && !hasUnfinished:
            end(nil)
        default: break
        }
        updateReading(now)
    }

    mutating func report() {
        for outcome in window.takeOutcomes() {
            if outcome.isDetached {
                if case .failure(let error) = outcome.result, enqueueError == nil { enqueueError = error }
            } else {
                actions.append(.published(outcome))
            }
        }
        for token in window.takeAdmitted() { actions.append(.admitted(token: token)) }
    }
}
