// Station 3, session machine. Runs on the connection's event loop. In: frames, answers, the passing of time. Out:
// actions. A value without I/O. Bounded by the limits on subscriptions and queries.

package import ApusBroker
package import ApusModel
package import ApusWire
package import NIOCore

/// The conversation with one peer of the native door.
package struct NativeSession {
    package enum Action: Sendable {
        case nothing
        case reply(Frame)
        /// Somebody wants to be known: nothing more is read until it is answered.
        case authenticate(Hello)
        /// Ask again whether whoever logged in may stay.
        case checkLogin
        /// Publishing under a name was asked for: nothing more is read until it is answered.
        case openPublisher(name: String, user: String)
        case subscribe(Subscribe)
        case unsubscribe(UInt32)
        case credit(Credit)
        case query(Query)
        case cancelQuery(UInt32)
        /// Ask the kernel whether the peer's machine still answers.
        case checkPeer
        /// Read nothing more; give what is owed, then send this and close.
        case finish(Frame)
    }

    package enum Verdict: Sendable {
        case accept
        case finish(Frame)
    }

    /// Who may be here without a login.
    package enum Admittance: Sendable {
        /// There are no users: nobody is asked.
        case everybody
        /// Who gives no credentials is nobody in particular.
        case anonymous
        case usersOnly
    }

    private enum Phase {
        /// The first frame may be a hello.
        case fresh
        case authenticating(Hello)
        case opening(Hello)
        case open
        case finishing
    }

    private let limits: Limits
    private let log: String
    private let admittance: Admittance
    package let madeUpClientID: String
    private var phase = Phase.fresh
    /// The right to publish under the name that `hello` gave.
    package private(set) var publisher: PublisherHandle?
    private var lastID: UInt64?
    /// By their numbers: what the filters of each cost.
    private var subscriptions: [UInt32: Int] = [:]
    private var filtersBytes = 0
    private var queries: Set<UInt32> = []

    // Time
    private var keepAlive: TimeAmount?
    private var lastReceived: NIODeadline
    /// By when the first whole frame has to be there; nil once it is.
    private var helloDeadline: NIODeadline?
    /// Since when nothing has come that counts against `idle-time`.
    private var idleSince: NIODeadline
    /// A subscription or a query has ended since `idleSince`.
    private var wasBusy = false
    private var frameBegan: NIODeadline?
    private var isInputClosed = false
    private var isReading = true
    private var lastPing: NIODeadline
    private var lastPeerCheck: NIODeadline
    private var loginCheck: NIODeadline?

    /// - Parameters:
    ///   - log: the log's random id, for `welcome`.
    ///   - clientID: what a client that names none is called.
    ///   - opened: when the connection was accepted, before any handshake; left out it is now.
    package init(
        limits: Limits, log: String, clientID: String, admittance: Admittance = .everybody,
        opened: NIODeadline? = nil, now: NIODeadline
    ) {
        self.limits = limits
        self.log = log
        self.admittance = admittance
        madeUpClientID = clientID
        lastReceived = now
        helloDeadline = (opened ?? now) + .seconds(Int64(limits.helloSeconds))
        idleSince = now
        lastPing = now
        lastPeerCheck = now
    }

    package var isFinishing: Bool {
        if case .finishing = phase { return true }
        return false
    }

    package var isOpening: Bool {
        if case .opening = phase { return true }
        return false
    }

    package var hasSubscriptions: Bool { !subscriptions.isEmpty || !queries.isEmpty }

    // MARK: Frames

    /// On the hot path. Whether the message itself is acceptable is the builder's to say.
    package mutating func receivedPublish(id: UInt64, hasID: Bool) -> Verdict {
        if case .fresh = phase {
            if admittance == .usersOnly { return .finish(finishing(NativeSession.loginRequired)) }
            phase = .open
        }
        guard hasID else {
            guard publisher == nil else {
                return .finish(
                    finishing(
                        .fatal(
                            .missingField, "a publish without an id by a named publisher",
                            hint:
                                "Deduplication goes by ids: leave \"publisher\" out of hello, or number the publishes.")
                    ))
            }
            return .accept
        }
        if let lastID, id <= lastID {
            return .finish(
                finishing(
                    .fatal(
                        .idOrder, "the publish id \(id) follows \(lastID)",
                        hint: "Ids strictly increase within a connection.")))
        }
        lastID = id
        return .accept
    }

    /// Every frame but publishes.
    package mutating func received(_ frame: Frame) -> Action {
        if case .hello(let hello) = frame { return received(hello) }
        if case .fresh = phase {
            if admittance == .usersOnly, !NativeSession.isEnd(frame) {
                return .finish(finishing(NativeSession.loginRequired))
            }
            phase = .open
        }
        switch frame {
        case .subscribe(let subscribe): return received(subscribe)
        case .unsubscribe(let number):
            guard forget(subscription: number) else { return unknown(subscription: number) }
            return .unsubscribe(number)
        case .credit(let credit): return received(credit)
        case .query(let query): return received(query)
        case .end(let end): return queries.remove(end.query) == nil ? .nothing : .cancelQuery(end.query)
        case .ping: return .reply(.pong)
        case .pong: return .nothing
        case .goodbye:
            phase = .finishing
            return .finish(.goodbye(reason: nil))
        case .error: return .nothing
        case .invalid(let reply):
            guard reply.error.isFatal else { return .reply(.error(reply)) }
            phase = .finishing
            return .finish(.error(reply))
        case .ack, .nack:
            return .reply(
                .error(ErrorReply(ApusError(.notSupported, "this broker does not support acks of subscriptions"))))
        default:
            return .finish(finishing(.fatal(.unexpectedFrame, "a frame that only the broker sends")))
        }
    }

    private mutating func received(_ hello: Hello) -> Action {
        guard case .fresh = phase else {
            return .finish(finishing(.fatal(.unexpectedFrame, "a hello that is not the first frame")))
        }
        guard hello.version == Wire.version else {
            return .finish(
                finishing(
                    .fatal(
                        .unsupportedVersion, "version \(hello.version) of the protocol",
                        hint: "This broker speaks version \(Wire.version).")))
        }
        for (name, text) in [("client-id", hello.clientID), ("publisher", hello.publisher), ("user", hello.user)] {
            guard let text else { continue }
            guard (1...NativeSession.nameBytesMax).contains(text.utf8.count) else {
                return .finish(
                    finishing(
                        .fatal(
                            .invalidField,
                            "\(name) has \(text.utf8.count) bytes, it may have 1 to \(NativeSession.nameBytesMax)")))
            }
        }
        if let seconds = hello.keepAlive, seconds > 0 {
            keepAlive = .seconds(Int64(min(seconds, UInt64(limits.keepAliveSeconds))))
        }
        if admittance == .everybody { return admitted(hello, user: hello.user ?? "") }
        phase = .authenticating(hello)
        return .authenticate(hello)
    }

    private mutating func admitted(_ hello: Hello, user: String) -> Action {
        guard let name = hello.publisher else {
            phase = .open
            return .reply(welcome(hello, lastID: nil))
        }
        phase = .opening(hello)
        return .openPublisher(name: name, user: user)
    }

    // MARK: Logging in

    package static let loginRequired = ApusError.fatal(
        .notAllowed, "this broker wants to know who you are",
        hint: "Log in: --user NAME or --token-file FILE; in the protocol, a hello with user and password, or a token.")

    /// What may come before a login: the end, and what makes one.
    private static func isEnd(_ frame: Frame) -> Bool {
        switch frame {
        case .goodbye: true
        case .invalid(let reply): reply.error.isFatal
        default: false
        }
    }

    package var isAuthenticating: Bool {
        if case .authenticating = phase { return true }
        return false
    }

    /// Names of publishers are this user's own, whatever hello says.
    ///
    /// - Parameter check: when to ask again whether it may stay; nil for never.
    package mutating func authenticated(as user: String, check: NIODeadline?) -> Action {
        guard case .authenticating(var hello) = phase else { return .nothing }
        // Not needed any more.
        (hello.password, hello.token) = (nil, nil)
        loginCheck = check
        return admitted(hello, user: user)
    }

    package mutating func authenticationFailed(_ error: ApusError) -> Action {
        guard case .authenticating = phase else { return .nothing }
        return .finish(finishing(error))
    }

    /// It was asked, and may stay.
    package mutating func loginHolds(check: NIODeadline?) { loginCheck = check }

    /// The longest client id, publisher or user name, in bytes.
    package static let nameBytesMax = 255

    /// The writer answered: the name is this connection's.
    package mutating func opened(_ handle: PublisherHandle, lastID: UInt64) -> Action {
        guard case .opening(let hello) = phase else { return .nothing }
        phase = .open
        publisher = handle
        return .reply(welcome(hello, lastID: lastID))
    }

    /// The writer refused the name.
    package mutating func openingFailed(_ error: ApusError) -> Action {
        .finish(finishing(error))
    }

    private func welcome(_ hello: Hello, lastID: UInt64?) -> Frame {
        .welcome(
            Welcome(
                clientID: hello.clientID ?? madeUpClientID, log: log, lastID: lastID,
                keepAlive: UInt64((keepAlive?.nanoseconds ?? 0) / 1_000_000_000),
                limits: [
                    "max-message-bytes": UInt64(limits.messageBytesMax),
                    "max-header-bytes": UInt64(limits.headerBytesMax),
                    "max-subscriptions": UInt64(limits.subscriptionsMax),
                    "publish-window-bytes": UInt64(limits.publishWindowBytes),
                ]))
    }

    private mutating func received(_ subscribe: Subscribe) -> Action {
        let number = subscribe.subscription
        func refuse(_ error: ApusError) -> Action { .reply(.error(ErrorReply(error, subscription: number))) }
        guard subscriptions[number] == nil else {
            return refuse(ApusError(.duplicateSubscription, "subscription \(number) exists already"))
        }
        guard subscriptions.count < limits.subscriptionsMax else {
            return refuse(ApusError(.tooMany, "more than \(limits.subscriptionsMax) subscriptions (max-subscriptions)"))
        }
        if let error = check(subscribe.filters) { return refuse(error) }
        let bytes = subscribe.filters.reduce(0) { $0 + $1.cost }
        guard filtersBytes + bytes <= limits.filtersBytesMax else {
            return refuse(
                ApusError(
                    .tooMany,
                    "the filters of this connection would take more than filters-bytes, "
                        + "\(limits.filtersBytesMax)",
                    hint: "Subscribe to less, with more than one connection, or raise the limit at the broker."))
        }
        filtersBytes += bytes
        subscriptions[number] = bytes
        return .subscribe(subscribe)
    }

    /// - Returns: false where there is none of this number.
    private mutating func forget(subscription number: UInt32) -> Bool {
        guard let bytes = subscriptions.removeValue(forKey: number) else { return false }
        filtersBytes -= bytes
        return true
    }

    private func check(_ filters: [TopicFilter]) -> ApusError? {
        guard filters.count <= limits.filtersMax else {
            return ApusError(.tooMany, "\(filters.count) filters, the limit max-filters is \(limits.filtersMax)")
        }
        for filter in filters where filter.levels.count > limits.filterLevelsMax {
            return ApusError(
                .invalidFilter,
                "the filter has \(filter.levels.count) levels, the limit max-filter-levels is \(limits.filterLevelsMax)"
            )
        }
        return nil
    }

    private mutating func received(_ query: Query) -> Action {
        func refuse(_ error: ApusError) -> Action { .reply(.error(ErrorReply(error, query: query.query))) }
        guard !queries.contains(query.query) else {
            return refuse(ApusError(.duplicateSubscription, "query \(query.query) is running already"))
        }
        guard queries.count < limits.queriesMax else {
            return refuse(ApusError(.tooMany, "more than \(limits.queriesMax) queries at a time (max-queries)"))
        }
        if let error = check(query.filters) { return refuse(error) }
        queries.insert(query.query)
        return .query(query)
    }

    private func received(_ credit: Credit) -> Action {
        switch credit.target {
        // A query may have ended while the credit was on its way.
        case .query(let number): return queries.contains(number) ? .credit(credit) : .nothing
        case .subscription(let number):
            return subscriptions[number] != nil ? .credit(credit) : unknown(subscription: number)
        }
    }

    private func unknown(subscription: UInt32) -> Action {
        .reply(
            .error(
                ErrorReply(
                    ApusError(.unknownSubscription, "there is no subscription \(subscription)"),
                    subscription: subscription)))
    }

    // MARK: What the broker says

    package mutating func ended(subscription: UInt32) {
        _ = forget(subscription: subscription)
        wasBusy = true
    }

    package mutating func ended(query: UInt32) {
        queries.remove(query)
        wasBusy = true
    }

    /// The stream cannot be read any further, or the broker ends the conversation.
    package mutating func fail(_ error: ApusError) -> Frame { finishing(error) }

    /// The broker stops.
    package mutating func stop() -> Frame {
        phase = .finishing
        return .goodbye(reason: "the broker stops")
    }

    private mutating func finishing(_ error: ApusError) -> Frame {
        phase = .finishing
        var error = error
        error.isFatal = true
        return .error(ErrorReply(error))
    }

    // MARK: Time

    package mutating func receivedBytes(now: NIODeadline) {
        lastReceived = now
        idleSince = now
    }

    /// The turn is over; whether it ended inside a frame, and whether the connection goes on reading.
    package mutating func turnEnded(isInsideFrame: Bool, isReading: Bool, now: NIODeadline) {
        frameBegan = isInsideFrame ? frameBegan ?? now : nil
        // While the broker itself does not read, the peer cannot be heard: its clocks stand still.
        if isReading, !self.isReading {
            lastReceived = now
            idleSince = now
            if frameBegan != nil { frameBegan = now }
        }
        self.isReading = isReading
    }

    package mutating func completedFrame() {
        frameBegan = nil
        helloDeadline = nil
    }

    package mutating func inputClosed(now: NIODeadline) {
        isInputClosed = true
        frameBegan = nil
        helloDeadline = nil
        lastPing = now
    }

    /// When to call ``passed(now:)`` at the latest.
    package var deadline: NIODeadline {
        var deadline = peerCheckDeadline
        if isFinishing { return deadline }
        if let loginCheck { deadline = min(deadline, loginCheck) }
        if isInputClosed { return min(deadline, pingDeadline) }
        guard isReading else { return deadline }
        if let keepAlive { deadline = min(deadline, lastReceived + .nanoseconds(keepAlive.nanoseconds * 3 / 2)) }
        for other in [frameDeadline, helloDeadline, idleDeadline] {
            if let other { deadline = min(deadline, other) }
        }
        return deadline
    }

    private var peerCheckDeadline: NIODeadline { lastPeerCheck + .seconds(Int64(limits.peerTimeoutSeconds)) }
    /// A half-closed peer cannot ping, so the broker does: a dead one answers with a reset.
    private var pingDeadline: NIODeadline { lastPing + (keepAlive ?? .seconds(Int64(limits.keepAliveSeconds))) }
    private var frameDeadline: NIODeadline? { frameBegan.map { $0 + .seconds(Int64(limits.frameTimeoutSeconds)) } }

    private var idleDeadline: NIODeadline? {
        limits.idleSeconds > 0 ? idleSince + .seconds(Int64(limits.idleSeconds)) : nil
    }

    package mutating func passed(now: NIODeadline) -> Action {
        guard deadline <= now else { return .nothing }
        if peerCheckDeadline <= now {
            lastPeerCheck = now
            return .checkPeer
        }
        if let loginCheck, loginCheck <= now {
            self.loginCheck = nil
            return .checkLogin
        }
        if isInputClosed {
            lastPing = now
            return .reply(.ping)
        }
        if let frameDeadline, frameDeadline <= now {
            return .finish(
                finishing(
                    .fatal(
                        .frameTimeout, "a frame was begun \(limits.frameTimeoutSeconds) seconds ago and has not ended",
                        hint: "The header's length, or the content-length, may be wrong.")))
        }
        if let helloDeadline, helloDeadline <= now {
            return .finish(
                finishing(
                    .fatal(
                        .frameTimeout, "no whole frame has come within \(limits.helloSeconds) seconds (hello-time)",
                        hint: "Begin with hello, or with whatever there is to say.")))
        }
        if let idleDeadline, idleDeadline <= now { return idled(now) }
        return .finish(
            finishing(.fatal(.keepAliveExpired, "nothing was received for 1.5 times the keep-alive")))
    }

    private mutating func idled(_ now: NIODeadline) -> Action {
        guard !hasSubscriptions, !wasBusy, !isOpening else {
            // What the broker has sent meanwhile is a reason to be silent.
            idleSince = now
            wasBusy = false
            return .nothing
        }
        phase = .finishing
        return .finish(.goodbye(reason: "nothing came for \(limits.idleSeconds) seconds (idle-time)"))
    }
}
