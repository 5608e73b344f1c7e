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

    private struct Flush {
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
    private(set) var phase = Phase.idle
    private(set) var actions: [Action] = []
    private(set) var window: PublishWindow
    private(set) var subscriptions: [UInt32: SubscriptionState] = [:]
    private(set) var queries: [UInt32: QueryState] = [:]
    var keepAlive = KeepAlive()
    private(set) var isReadingHeld = false
    /// What has more buffered than memory allows.
    private var overloaded: Set<Credit.Target> = []

    private var backoff: Backoff
    private var log: String?
    private var openedAt = NIODeadline.uptimeNanoseconds(0)
    private var flushes: [Flush] = []
    private var enqueueError: ApusError?
    private var closeDeadline: NIODeadline?

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
    private var isConversing: Bool {
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

    private mutating func dial(_ now: NIODeadline) {
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
        if closeDeadline != nil, window.isEmpty { return end(nil) }
        let pause = backoff.next()
        phase = .backoff(until: now + .milliseconds(Int64(pause)))
        actions.append(.changeState(.reconnecting(attempt: backoff.attempt, after: error)))
        settle(now)
    }

    private func isConnectionToTry(after error: ApusError) -> Bool {
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

    private static func unknownOutcome(_ error: ApusError) -> ApusError {
        ApusError(
            .connectionLost, "the connection was lost before the publish was acknowledged: \(error.message)",
            hint: "Whether it was recorded is unknown. A publisher with a name would have sent it again, without "
                + "recording it twice.")
    }

    /// Drops the connection because of something that came over it, or did not come.
    private mutating func drop(_ error: ApusError, _ now: NIODeadline) {
        actions.append(.disconnect)
        connectionLost(error, now)
    }

    private mutating func opened(_ welcome: Welcome, _ now: NIODeadline) {
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
    private mutating func greet(lastID: UInt64, _ now: NIODeadline) -> Bool {
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

    private static func goingAway(_ reason: String?) -> ApusError {
        ApusError(.goingAway, "the broker said goodbye" + (reason.map { ": \($0)" } ?? ""))
    }

    private mutating func conversed(_ frame: Frame, _ now: NIODeadline) {
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

    private mutating func failed(_ reply: ErrorReply, _ now: NIODeadline) {
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

    // MARK: Publishing

    mutating func publish(_ batch: PreparedBatch, token: UInt64, isEnqueued: Bool, _ now: NIODeadline) {
        if case .closed(let error) = phase { return refuse(token, isEnqueued, ClientSession.closedError(error)) }
        guard closeDeadline == nil else { return refuse(token, isEnqueued, ClientSession.closedError(nil)) }
        let deadline = settings.publishTimeout.map { now + $0 }
        window.append(batch, token: token, isEnqueued: isEnqueued, deadline: deadline)
        settle(now)
    }

    private mutating func refuse(_ token: UInt64, _ isEnqueued: Bool, _ error: ApusError) {
        actions.append(
            .published(PublishWindow.Outcome(token: token, result: .failure(error), isDetached: false)))
    }

    static func closedError(_ error: ApusError?) -> ApusError {
        guard let error else { return ApusError(.closed, "the client is closed") }
        return error
    }

    /// The caller of `publish` or `enqueue` was cancelled.
    mutating func cancelPublish(_ token: UInt64, _ now: NIODeadline) {
        guard let written = window.withdraw(token) else { return }
        let error = ApusError(
            .cancelled, "the publish was cancelled",
            hint: written > 0 ? "\(written) of its messages had been sent; whether they are recorded is unknown." : nil)
        actions.append(
            .published(PublishWindow.Outcome(token: token, result: .failure(error), isDetached: false)))
        settle(now)
    }

    /// Writes publishes until `out` has so many bytes or nothing more may be written.
    mutating func writePublishes(
        into out: inout ByteBuffer, until bytes: Int, encoder: inout PublishEncoder, _ now: NIODeadline
    ) {
        guard canWritePublishes else { return }
        window.write(into: &out, until: bytes, encoder: &encoder)
        settle(now)
    }

    /// Ends when everything that was handed over before is answered.
    mutating func flush(token: UInt64, _ now: NIODeadline) {
        if case .closed(let error) = phase, let error = enqueueError ?? error {
            enqueueError = nil
            actions.append(.flushed(token: token, error))
            return
        }
        flushes.append(Flush(token: token, before: window.nextID))
        settle(now)
    }

    mutating func cancelFlush(_ token: UInt64) {
        guard let index = flushes.firstIndex(where: { $0.token == token }) else { return }
        flushes.remove(at: index)
        actions.append(.flushed(token: token, ApusError(.cancelled, "the flush was cancelled")))
    }

    // MARK: Subscribing

    mutating func subscribe(_ number: UInt32, filters: [TopicFilter], from: StartPosition, _ now: NIODeadline) {
        if let error = refusal() {
            actions.append(.endSubscription(subscription: number, error))
            return
        }
        subscriptions[number] = SubscriptionState(
            filters: filters, from: from, credit: CreditWindow(bytesMax: settings.receiveBytesMax))
        if case .open = phase { resume(number, isOtherLog: false) }
        updateReading(now)
    }

    private func refusal() -> ApusError? {
        if case .closed(let error) = phase { return ClientSession.closedError(error) }
        return closeDeadline == nil ? nil : ClientSession.closedError(nil)
    }

    /// Sends the `subscribe`: the first one, or after a reconnect one that goes on where the application is.
    private mutating func resume(_ number: UInt32, isOtherLog: Bool) {
        guard var state = subscriptions[number] else { return }
        var from = state.from
        if state.isEstablished {
            guard !isOtherLog else {
                return endSubscription(
                    number,
                    ApusError(
                        .logChanged, "the broker has another log than before: the subscription cannot go on in it",
                        hint: "The log was replaced, restored or forked. Subscribe again from where it makes sense."))
            }
            if case .lastPerTopic = from, !state.hasCaughtUp {
                // Asked for again from the beginning: a seq would bring all messages after it, not the last of each
                // topic. What the application has had is left out.
                actions.append(.skip(subscription: number, through: state.position ?? 0))
            } else if let position = state.position {
                from = .seq(position < Seq.last ? position + 1 : Seq.last)
            }
        }
        let credit = state.credit.start()
        subscriptions[number] = state
        actions.append(
            .write(
                .subscribe(Subscribe(subscription: number, filters: state.filters, from: from, credit: credit))))
    }

    private mutating func subscribed(_ number: UInt32, next: Seq) {
        guard var state = subscriptions[number] else { return }
        let isFirst = !state.isEstablished
        state.isEstablished = true
        // Until something comes, the start position is not asked for again: "now" would be another now.
        if state.position == nil, next > 0, state.from != .lastPerTopic { state.position = next - 1 }
        subscriptions[number] = state
        if isFirst { actions.append(.subscribed(subscription: number, next: next)) }
    }

    private mutating func advance(_ number: UInt32, to seq: Seq) {
        guard let position = subscriptions[number]?.position else {
            subscriptions[number]?.position = seq
            return
        }
        subscriptions[number]?.position = max(position, seq)
    }

    /// A read turn's messages of one subscription.
    mutating func receivedMessages(
        _ number: UInt32, count: Int, bytes: Int, lastSeq: Seq, _ now: NIODeadline
    ) {
        keepAlive.heard(now)
        guard subscriptions[number] != nil else { return }
        advance(number, to: lastSeq)
        if subscriptions[number]?.credit.received(count: count, bytes: bytes) == true {
            actions.append(.reportEvery(.subscription(number), subscriptions[number]?.credit.reportEvery ?? 1))
        }
        credited(.subscription(number))
        updateReading(now)
    }

    /// A read turn's rows of one query.
    mutating func receivedRows(_ number: UInt32, count: Int, bytes: Int, _ now: NIODeadline) {
        keepAlive.heard(now)
        guard queries[number] != nil else { return }
        if queries[number]?.credit.received(count: count, bytes: bytes) == true {
            actions.append(.reportEvery(.query(number), queries[number]?.credit.reportEvery ?? 1))
        }
        credited(.query(number))
        updateReading(now)
    }

    /// The application has taken what was buffered for it.
    mutating func consumed(_ target: Credit.Target, count: Int, bytes: Int, _ now: NIODeadline) {
        switch target {
        case .subscription(let number): subscriptions[number]?.credit.consumed(count: count, bytes: bytes)
        case .query(let number): queries[number]?.credit.consumed(count: count, bytes: bytes)
        }
        credited(target)
        updateReading(now)
    }

    private mutating func credited(_ target: Credit.Target) {
        let credit: UInt64?
        let isOver: Bool
        switch target {
        case .subscription(let number):
            isOver = subscriptions[number]?.credit.isOver ?? false
            // One that is about to be resumed gets its credit with the `subscribe`.
            credit = isConversing ? subscriptions[number]?.credit.replenish() : nil
        case .query(let number):
            isOver = queries[number]?.credit.isOver ?? false
            credit = isConversing && queries[number]?.isSent == true ? queries[number]?.credit.replenish() : nil
        }
        if let credit { actions.append(.write(.credit(Credit(target: target, credit: credit)))) }
        if isOver {
            overloaded.insert(target)
        } else if !overloaded.isEmpty {
            overloaded.remove(target)
        }
    }

    /// The socket is not read while too much is buffered. But an application may await an answer before it consumes
    /// any more, and the answer may stand behind messages: while one is owed, reading goes on. That ends too, because
    /// no credit is given for what is not consumed.
    private mutating func updateReading(_ now: NIODeadline) {
        if isReadingHeld {
            guard overloaded.isEmpty || isAwaitingAnswer else { return }
            resumeReading()
            keepAlive.resumed(now)
        } else if !overloaded.isEmpty, isConversing, !isAwaitingAnswer {
            isReadingHeld = true
            keepAlive.hold()
            actions.append(.holdReading)
        }
    }

    private mutating func resumeReading() {
        guard isReadingHeld else { return }
        isReadingHeld = false
        actions.append(.resumeReading)
    }

    private var isAwaitingAnswer: Bool {
        window.inFlight > 0 || closeDeadline != nil || subscriptions.values.contains { !$0.isEstablished }
            || queries.values.contains { !$0.credit.isOver }
    }

    /// The application does not want it any more.
    mutating func unsubscribe(_ number: UInt32, _ now: NIODeadline) {
        guard let state = subscriptions.removeValue(forKey: number) else { return }
        if isConversing, !isLeaving { actions.append(.write(.unsubscribe(subscription: number))) }
        let error = state.isEstablished ? nil : ApusError(.cancelled, "the subscribe was cancelled")
        actions.append(.endSubscription(subscription: number, error))
        overloaded.remove(.subscription(number))
        updateReading(now)
    }

    private var isLeaving: Bool {
        if case .leaving = phase { true } else { false }
    }

    private mutating func endSubscription(_ number: UInt32, _ error: ApusError?) {
        subscriptions[number] = nil
        overloaded.remove(.subscription(number))
        actions.append(.endSubscription(subscription: number, error))
    }

    // MARK: Queries

    mutating func query(_ query: Query, _ now: NIODeadline) {
        if let error = refusal() {
            actions.append(.endQuery(query: query.query, error))
            return
        }
        queries[query.query] = QueryState(query: query, credit: CreditWindow(bytesMax: settings.receiveBytesMax))
        if case .open = phase { sendQuery(query.query) }
        updateReading(now)
    }

    private mutating func sendQuery(_ number: UInt32) {
        guard var state = queries[number], !state.isSent else { return }
        state.isSent = true
        state.query.credit = state.credit.start()
        queries[number] = state
        actions.append(.write(.query(state.query)))
    }

    mutating func cancelQuery(_ number: UInt32, _ now: NIODeadline) {
        guard let state = queries[number] else { return }
        if isConversing, !isLeaving, state.isSent {
            actions.append(.write(.end(QueryEnd(query: number, reason: "cancelled"))))
        }
        endQuery(number, nil)
        settle(now)
    }

    private mutating func endQuery(_ number: UInt32, _ error: ApusError?) {
        guard queries.removeValue(forKey: number) != nil else { return }
        overloaded.remove(.query(number))
        actions.append(.endQuery(query: number, error))
    }

    // MARK: Time

    /// When `timeHasCome` wants to be called.
    var nextDeadline: NIODeadline? {
        var next: NIODeadline?
        func consider(_ deadline: NIODeadline?) {
            guard let deadline else { return }
            next = min(next ?? deadline, deadline)
        }
        switch phase {
        case .dialing(let until), .greeting(let until), .draining(let until), .leaving(let until),
            .backoff(let until):
            consider(until)
        case .idle, .open: break
        case .closed: return nil
        }
        if isConversing { consider(keepAlive.nextDeadline) }
        consider(window.nextDeadline)
        consider(closeDeadline)
        return next
    }

    mutating func timeHasCome(_ now: NIODeadline) {
        expirePublishes(now)
        if let closeDeadline, closeDeadline <= now, !isLeaving {
            if isConversing { actions.append(.write(.goodbye(reason: nil))) }
            return end(nil)
        }
        switch phase {
        case .dialing(let until) where until <= now:
            drop(ApusError(.unavailable, "no connection within \(milliseconds(settings.connectTimeout)) ms"), now)
        case .greeting(let until) where until <= now:
            drop(
                ApusError(
                    .unavailable, "no welcome from the broker within \(milliseconds(settings.connectTimeout)) ms",
                    hint: "Something accepts connections there, but it may not be an Apus broker."), now)
        case .backoff(let until) where until <= now: dial(now)
        case .draining(let until) where until <= now: drop(ClientSession.goingAway(nil), now)
        case .leaving(let until) where until <= now: end(nil)
        default: break
        }
        if isConversing {
            switch keepAlive.timeHasCome(now) {
            case .ping: actions.append(.write(.ping))
            case .expired(let seconds):
                drop(
                    ApusError(
                        .keepAliveExpired,
                        "the broker was silent for \(seconds) s after a ping, 1.5 times the keep-alive"), now)
            case nil: break
            }
        }
        settle(now)
    }

    private func milliseconds(_ time: TimeAmount) -> Int64 { time.nanoseconds / 1_000_000 }

    private mutating func expirePublishes(_ now: NIODeadline) {
        let limit = milliseconds(settings.publishTimeout ?? .zero)
        for (token, written, isAdmitted) in window.expire(now) {
            let message =
                if !isConversing {
                    "there was no connection to the broker to publish over within \(limit) ms"
                } else if isAdmitted, !window.hasQueued {
                    "the broker did not acknowledge within \(limit) ms"
                } else {
                    "the broker is not reading: a publish waited for \(limit) ms"
                }
            let error = ApusError(
                .timedOut, message,
                hint: written > 0 ? "Whether it was recorded is unknown." : "It was not sent.")
            actions.append(
                .published(PublishWindow.Outcome(token: token, result: .failure(error), isDetached: false)))
        }
    }

    // MARK: Closing

    /// Waits for what is in flight until `deadline`, says goodbye, closes.
    mutating func close(_ deadline: NIODeadline, _ now: NIODeadline) {
        if isClosed { return }
        closeDeadline = min(closeDeadline ?? deadline, deadline)
        // What still comes for subscriptions is of no interest; answers are.
        for number in subscriptions.keys.sorted() { endSubscription(number, nil) }
        for number in queries.keys.sorted() { endQuery(number, ClientSession.closedError(nil)) }
        settle(now)
    }

    /// The client object is gone, or connecting was cancelled: nobody waits for anything.
    mutating func abandon() {
        if isConversing, !isLeaving { actions.append(.write(.goodbye(reason: nil))) }
        end(nil)
    }

    private mutating func end(_ error: ApusError?) {
        if isClosed { return }
        phase = .closed(error)
        keepAlive.stop()
        actions.append(.disconnect)
        var outcome = error ?? ApusError(.closed, "the client was closed before the publish was acknowledged")
        if window.hasUnanswered { outcome.hint = outcome.hint ?? "Whether it was recorded is unknown." }
        let unacknowledged = window.failAll(outcome)
        report()
        for number in subscriptions.keys.sorted() { endSubscription(number, error) }
        for number in queries.keys.sorted() { endQuery(number, ClientSession.closedError(error)) }
        for flush in flushes {
            actions.append(.flushed(token: flush.token, enqueueError ?? ClientSession.closedError(error)))
        }
        flushes = []
        actions.append(.changeState(.closed))
        actions.append(.closed(unacknowledged: unacknowledged, error))
    }

    // MARK: After every input

    /// Reports what the window has finished, and goes on with whatever waited for it.
    private mutating func settle(_ now: NIODeadline) {
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
        case .open where closeDeadline != nil && window.isEmpty:
            actions.append(.write(.goodbye(reason: nil)))
            let until = min(closeDeadline ?? now, now + ClientSession.farewell)
            phase = .leaving(until: until)
        case .idle where closeDeadline != nil, .dialing where closeDeadline != nil && window.isEmpty,
            .greeting where closeDeadline != nil && window.isEmpty,
            .backoff where closeDeadline != nil && window.isEmpty:
            end(nil)
        default: break
        }
        updateReading(now)
    }

    private mutating func report() {
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
