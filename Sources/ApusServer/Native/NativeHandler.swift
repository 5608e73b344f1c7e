// Stations 1, 2, 3 and 8, in this file and those beside it. Runs on the connection's event loop. In: bytes,
// announcements. Out: submissions, and one flush a turn. Bounded by the receive buffer, the publish window, the outbox.

package import ApusBroker
internal import ApusModel
internal import ApusWire
internal import DequeModule
package import Logging
package import NIOCore

/// One connection of the native door: performs what its session decides. Confined to its event loop; not Sendable.
package final class NativeHandler: ChannelInboundHandler {
    package typealias InboundIn = ByteBuffer
    package typealias OutboundOut = ByteBuffer

    /// Why the connection is not read.
    struct Pause: OptionSet {
        let rawValue: UInt8
        /// A name is being opened.
        static let opening = Pause(rawValue: 1)
        /// The connection's own uncommitted bytes.
        static let window = Pause(rawValue: 2)
        /// Everybody's uncommitted bytes.
        static let intake = Pause(rawValue: 4)
        /// It does not read its replies.
        static let replies = Pause(rawValue: 8)
        /// It brings new names too fast.
        static let names = Pause(rawValue: 16)
        /// It gave up subscriptions and queries for which the log is still being read.
        static let abandoned = Pause(rawValue: 32)
        /// Who it is is being found out.
        static let login = Pause(rawValue: 64)
    }

    let shared: NativeDoor
    let origin: ConnectionOrigin
    var inbound: Inbound
    var answers = PendingAnswers()
    package private(set) var id = ConnectionID(hub: 0, number: 0)
    var context: ChannelHandlerContext?

    var pauses: Pause = []
    var uncommittedBytes = 0
    var inFlight: Deque<Owed> = []
    /// Submissions that were answered.
    var commits: UInt64 = 0

    /// Small frames of this turn, written together.
    var out = ByteBuffer()
    /// Replies that wait for a peer which does not read.
    var replies = ByteBuffer()
    var needsFlush = false
    var isFlushing = false
    var becameWritable = false
    var turn = 0
    var abandoned = 0
    var isInsideRead = false
    var isProcessing = false
    /// It has had its turn, and goes on when the loop has looked at the others.
    var isWaitingForTurn = false

    /// What the connection's incomplete frame costs, as counted by the door.
    package internal(set) var heldBytes = 0
    /// Whole frames that wait for their turn or for room, as counted by the door.
    var deferredBytes = 0

    /// What is to be said last.
    var farewell: Frame?
    var isLingering = false
    var hasSaidFarewell = false
    var isInputClosed = false
    var closing: Scheduled<Void>?
    private var timer: NIOScheduledCallback?
    private var timerTarget: TimerTarget?
    private var timerDeadline: NIODeadline?
    var names: NameRate
    /// It was told once that it may not do something.
    var hasExceededRights = false

    var subscriptions: [UInt32: Subscription] = [:]
    var queries: [UInt32: QueryCursor] = [:]
    /// Who it is, and what it asked for as far as that depends on who it is.
    var guest: Guest
    /// The way of the first frame: the broker answers in it.
    var way: Way?
    var logger: Logger

    /// - Parameter opened: when the connection was accepted, before any handshake.
    package init(
        door: NativeDoor, origin: ConnectionOrigin, opened: NIODeadline, now: NIODeadline, logger: Logger
    ) {
        shared = door
        self.origin = origin
        var limits = door.limits
        limits.helloSeconds = origin.listener.helloSeconds ?? limits.helloSeconds
        limits.idleSeconds = origin.listener.idleSeconds ?? limits.idleSeconds
        guest = Guest(access: door.logins.access, allowsAnonymous: origin.listener.allowsAnonymous)
        inbound = Inbound(
            reader: FrameReader(
                bounds: .init(headerBytesMax: limits.headerBytesMax, contentBytesMax: limits.messageBytesMax)),
            builder: SubmissionBuilder(
                interner: door.interner, limits: limits,
                defaultTopic: origin.listener.defaultTopic ?? door.defaultTopic),
            session: NativeSession(
                limits: limits, log: door.log, clientID: door.makeClientID(), admittance: guest.admittance,
                opened: opened, now: now))
        inbound.builder.rights = guest.identity.rights.publish
        names = NameRate(perSecond: limits.newNamesPerSecond, now: now)
        self.logger = logger
    }

    var session: NativeSession {
        _read { yield inbound.session }
        _modify { yield &inbound.session }
    }

    var reader: FrameReader {
        _read { yield inbound.reader }
    }

    // MARK: Channel events

    package func channelActive(context: ChannelHandlerContext) {
        self.context = context
        id = shared.hub.add(self)
        logger[metadataKey: "connection"] = "\(id.hub).\(id.number)"
        var metadata: Logger.Metadata = [
            "peer": "\(context.remoteAddress?.port.map { "\(origin.peerAddress) port \($0)" } ?? origin.peerAddress)"
        ]
        if let name = origin.certificateName { metadata["certificate"] = "\(name)" }
        logger.info("connected", metadata: metadata)
        // The users may have been read again since the handler was made.
        accessChanged()
        armTimer()
        context.read()
        context.fireChannelActive()
        guard shared.isStopping else { return }
        stop()
        finishIfNothingIsOwed()
    }

    package func channelInactive(context: ChannelHandlerContext) {
        for subscription in subscriptions.values { shared.hub.unsubscribe(subscription) }
        for query in queries.values { query.cancel() }
        subscriptions = [:]
        queries = [:]
        timer?.cancel()
        timer = nil
        timerTarget = nil
        closing?.cancel()
        shared.hub.remove(id)
        shared.queryWorkers.drop(id)
        shared.released(self, bytes: heldBytes)
        shared.deferred(change: -deferredBytes)
        (heldBytes, deferredBytes) = (0, 0)
        // One line a connection at info: the one above.
        logger.debug("disconnected")
        self.context = nil
        context.fireChannelInactive()
    }

    package func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // A reset or a broken pipe ends the session; what it owned is cleaned up in channelInactive.
        logger.debug("connection failed", metadata: ["error": "\(error)"])
        context.close(promise: nil)
    }

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !session.isFinishing else { return }
        isInsideRead = true
        session.receivedBytes(now: .now())
        let bytes = unwrapInboundIn(data)
        shared.counters.bytesIn.add(bytes.readableBytes)
        inbound.reader.append(bytes)
        process()
    }

    package func channelReadComplete(context: ChannelHandlerContext) {
        isInsideRead = false
        endTurn()
        readMore()
    }

    package func channelWritabilityChanged(context: ChannelHandlerContext) {
        guard context.channel.isWritable else { return }
        becameWritable = true
        // A flush that wrote everything comes here from inside: it goes on itself, instead of ever deeper.
        if !isFlushing { flush() }
    }

    package func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case ChannelEvent.inputClosed = event {
            inputClosed()
        } else if let refusal = event as? PeerRefusal {
            finish(session.fail(refusal.error))
            flush()
        } else {
            context.fireUserInboundEventTriggered(event)
        }
    }

    // MARK: Time

    func armTimer() {
        guard let context else { return }
        let deadline = session.deadline
        if let timerDeadline, timerDeadline <= deadline { return }
        timer?.cancel()
        timerDeadline = deadline
        let target = timerTarget ?? TimerTarget(self, shared.loop)
        timerTarget = target
        timer = try? context.eventLoop.scheduleCallback(at: deadline, handler: target)
    }
}

extension NativeHandler: HubConnection {
    package func look(_ body: (Subscription) -> Void) -> Int {
        for subscription in subscriptions.values { body(subscription) }
        return heldBytes
    }

    fileprivate func timerFired() {
        timer = nil
        timerDeadline = nil
        guard context != nil else { return }
        perform(session.passed(now: .now()))
        flush()
        armTimer()
    }
}

/// What the event loop's timer calls: it may hold only what is Sendable.
private final class TimerTarget: NIOScheduledCallbackHandler, Sendable {
    private let handler: NIOLoopBound<NativeHandler>

    init(_ handler: NativeHandler, _ loop: any EventLoop) {
        self.handler = NIOLoopBound(handler, eventLoop: loop)
    }

    func handleScheduledCallback(eventLoop: some EventLoop) { handler.value.timerFired() }
}
