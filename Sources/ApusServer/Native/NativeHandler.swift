// Stations 1, 2, 3 and 8. Runs on the connection's event loop. In: bytes, announcements. Out: submissions, and one
// flush a turn. Bounded by the receive buffer, the publish window, the outbox.

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
        static let login = Pause(rawValue: 128)
    }

    let shared: NativeDoor
    let origin: ConnectionOrigin
    var inbound: Inbound
    var answers = PendingAnswers()
    private(set) var id = ConnectionID(hub: 0, number: 0)
    var context: ChannelHandlerContext?

    var pauses: Pause = []
    private var uncommittedBytes = 0
    var inFlight: Deque<Owed> = []
    /// Submissions that were answered.
    private var commits: UInt64 = 0

    /// Small frames of this turn, written together.
    var out = ByteBuffer()
    /// Replies that wait for a peer which does not read.
    var replies = ByteBuffer()
    private var needsFlush = false
    private var isFlushing = false
    private var becameWritable = false
    private var turn = 0
    private var abandoned = 0
    var isInsideRead = false
    private var isProcessing = false
    /// It has had its turn, and goes on when the loop has looked at the others.
    private(set) var isWaitingForTurn = false

    /// What is to be said last.
    var farewell: Frame?
    var isLingering = false
    var hasSaidFarewell = false
    var isInputClosed = false
    var closing: Scheduled<Void>?
    private var timer: NIOScheduledCallback?
    private var timerTarget: TimerTarget?
    private var timerDeadline: NIODeadline?
    private var names: NameRate

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

    private func resumeCursors() {
        becameWritable = false
        // Each time another one comes first: what one replay leaves of the room would never be enough for the others.
        let all = Array(subscriptions.values)
        turn = turn == .max ? 0 : turn + 1
        for index in all.indices { shared.hub.resume(all[(index + turn % all.count) % all.count]) }
        for query in queries.values { query.resume() }
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

    // MARK: Reading

    /// Follows the frames that are there, until there is a reason to wait or the turn's work is done.
    private func process() {
        guard !isProcessing, !isWaitingForTurn else { return }
        isProcessing = true
        defer { isProcessing = false }
        let framesBefore = reader.framesRead
        do throws(ApusError) {
            // What a frame brings about may be flushed at once, and a flush that fails ends the connection: what it had
            // sent before is followed no further, or it would own subscriptions that nobody closes.
            while context != nil, pauses.isEmpty, !session.isFinishing, hasWorkLeft() {
                if shared.intake.isFull, try inbound.reader.isAtPublish() {
                    waitForRoom()
                    break
                }
                let stop = try inbound.takePublishes(id)
                answers.accepted(withoutID: inbound.takeAcceptedWithoutID())
                if case .other = stop {
                    // Or the turn's work is done.
                    guard inbound.workLeft > 0 else { continue }
                    guard let frame = try inbound.reader.next() else { break }
                    inbound.spend(frame)
                    received(frame)
                } else {
                    stopped(stop)
                }
            }
        } catch {
            finish(session.fail(error))
        }
        // Not the bytes: a header whose content is still to come is no frame.
        guard reader.framesRead != framesBefore else { return }
        session.completedFrame()
        if way == nil { way = reader.way }
    }

    /// Where a turn's work is done the connection goes on later, with the others of its loop in between.
    private func hasWorkLeft() -> Bool {
        if inbound.workLeft > 0 { return true }
        guard shared.mayDefer else {
            inbound.beginTurn()
            return true
        }
        if reader.bytesLeft > 0 { goOnLater() }
        return false
    }

    private func goOnLater() {
        guard !isWaitingForTurn else { return }
        isWaitingForTurn = true
        shared.turns.later { [weak self] in self?.takeTurn() }
    }

    private func takeTurn() {
        isWaitingForTurn = false
        guard context != nil else { return }
        process()
        endTurn()
        readMore()
    }

    /// Anything but a compact publish.
    private func received(_ frame: Frame) {
        if way == nil { way = reader.way }
        guard case .publish(let publish) = frame else { return perform(session.received(frame)) }
        if let stop = inbound.take(publish, id) {
            stopped(stop)
        } else {
            answers.accepted(withoutID: inbound.takeAcceptedWithoutID())
        }
    }

    private func stopped(_ stop: Inbound.Stop) {
        switch stop {
        case .other: break
        case .finish(let frame): finish(frame)
        case .refused(let reply, let isAnswered):
            shared.gauges.refused(reply.error.code)
            if isAnswered {
                refuse(reply)
            } else {
                // It expects no answer, now or when it is sent again.
                logger.debug("refused", metadata: ["error": "\(reply.error)"])
            }
        }
    }

    /// A publish that goes no further is answered in its place.
    private func refuse(_ reply: ErrorReply) {
        if let id = reply.id, session.publisher != nil { inbound.builder.refuse(id: id, reply.error.code) }
        answers.add(reply, .atOnce(behind: inbound.accepted))
        if answers.bytes > shared.limits.repliesBytesMax { pauses.insert(.replies) }
    }

    /// Sends the turn's publishes off, and everything that was answered in the turn.
    private func endTurn() {
        submit()
        // It may have ended in this turn: what it held has been given back.
        guard context != nil else { return }
        inbound.beginTurn()
        inbound.reader.settle()
        updateHeldBytes()
        finishIfCutOff()
        flush()
        session.turnEnded(
            isInsideFrame: reader.isInsideFrame, isReading: pauses.isEmpty && !isWaitingForTurn, now: .now())
        armTimer()
        finishIfNothingIsOwed()
    }

    func submit() {
        // Also of a turn whose publishes were all refused.
        if let wait = names.spend(inbound.builder.takeNewNames(), now: .now()) { pause(for: wait) }
        guard let submission = inbound.builder.take() else { return }
        inFlight.append(Owed(submission))
        shared.counters.messagesIn.add(submission.messages.count)
        let bytes = submission.bytes
        uncommittedBytes += bytes
        if uncommittedBytes >= shared.limits.publishWindowBytes { pauses.insert(.window) }
        switch shared.intake.add(.publish(submission), bytes: bytes, rows: submission.messages.count) {
        case .hasRoom where context == nil: break
        case .hasRoom: shared.hub.publishers.published(id, self)
        case .isFull: waitForRoom()
        case .refused(let error):
            uncommittedBytes -= bytes
            // Those before it are refused with the same, so it does not matter which of them is taken for it.
            refused(error)
        }
    }

    private func waitForRoom() {
        if pauses.insert(.intake).inserted { shared.hub.publishers.pause(id, self) }
    }

    private func readMore() {
        guard let context, pauses.isEmpty, !isWaitingForTurn, !isInputClosed, !session.isFinishing || isLingering
        else { return }
        context.read()
    }

    func resume(_ pause: Pause) {
        guard pauses.remove(pause) != nil, pauses.isEmpty, context != nil, !isInsideRead else { return }
        process()
        endTurn()
        readMore()
    }

    private func pause(for time: TimeAmount) {
        pauses.insert(.names)
        let bound = NIOLoopBound(self, eventLoop: shared.loop)
        shared.loop.scheduleTask(in: time) { bound.value.resume(.names) }
    }

    // MARK: Actions

    func perform(_ action: NativeSession.Action) {
        switch action {
        case .nothing: break
        // A publish that could not be read is answered in its place, like one that was refused.
        case .reply(.error(let refused)) where refused.count > 0: refuse(refused)
        case .reply(let frame): reply(frame)
        case .openPublisher(let name, let user):
            // Each new name is a row in the log, and there are `max-publishers` of them.
            guard !guest.identity.rights.publish.isNothing else {
                return perform(session.openingFailed(Guest.mayNotPublish))
            }
            pauses.insert(.opening)
            let open = IntakeItem.openPublisher(OpenPublisher(connection: id, user: user, name: name))
            if case .refused(let error) = shared.intake.add(open, bytes: 0, rows: 1) {
                perform(session.openingFailed(error))
            }
        case .authenticate(let hello): authenticate(hello)
        case .checkLogin: renewLogin()
        case .subscribe(let subscribe): start(subscribe)
        case .unsubscribe(let number):
            guest.subscriptions[number] = nil
            if let subscription = subscriptions.removeValue(forKey: number) {
                shared.hub.unsubscribe(subscription)
                if subscription.isReading { subscription.onIdle = abandon() }
            }
        case .credit(let credit): add(credit)
        case .query(let query): start(query)
        case .cancelQuery(let number):
            guest.queries[number] = nil
            if let query = queries.removeValue(forKey: number) {
                query.cancel()
                if query.isReading { query.onIdle = abandon() }
            }
            reply(.end(QueryEnd(query: number, reason: "cancelled")))
        case .checkPeer: checkPeer()
        case .finish(let frame): finish(frame)
        }
    }

    /// So many reads of the log may be under way for what the connection has given up already.
    private static let abandonedMax = 16

    /// One more read of the log is under way for nobody: who makes many of them is not read until they are done.
    ///
    /// - Returns: to be called when it is done.
    private func abandon() -> () -> Void {
        abandoned += 1
        if abandoned >= NativeHandler.abandonedMax { pauses.insert(.abandoned) }
        return { [weak self] in
            guard let self else { return }
            abandoned -= 1
            if abandoned < NativeHandler.abandonedMax { resume(.abandoned) }
        }
    }

    private func checkPeer() {
        guard let channel = context?.channel else { return }
        let bound = NIOLoopBound(self, eventLoop: shared.loop)
        PeerWatch.isDead(channel, timeoutSeconds: shared.limits.peerTimeoutSeconds) { isDead in
            guard isDead else { return }
            bound.value.logger.info("the peer's machine does not answer any more")
            channel.close(promise: nil)
        }
    }

    func reply(_ frame: Frame) {
        guard isWritable, replies.readableBytes == 0 else {
            FrameWriter.write(frame, way ?? .json, into: &replies)
            if replies.storageCapacity > shared.limits.repliesBytesMax { pauses.insert(.replies) }
            return
        }
        FrameWriter.write(frame, way ?? .json, into: &out)
        needsFlush = true
    }

    // MARK: Writing

    /// Cursors stop also while replies wait, so that no message overtakes the reply that announces it.
    package var isWritable: Bool { replies.readableBytes == 0 && (context?.channel.isWritable ?? false) }

    /// Appends to the turn's small frames; large ones go by themselves.
    func write(_ bytes: ByteBuffer) {
        guard let context else { return }
        writeOut(context)
        shared.counters.bytesOut.add(bytes.readableBytes)
        context.write(wrapOutboundOut(bytes), promise: nil)
        needsFlush = true
    }

    private func writeOut(_ context: ChannelHandlerContext) {
        guard out.readableBytes > 0 else { return }
        shared.counters.bytesOut.add(out.readableBytes)
        context.write(wrapOutboundOut(out), promise: nil)
        out = ByteBuffer()
    }

    /// The one exit for bytes: what waits goes out as far as the peer takes it, and one flush. Where that made room,
    /// the cursors go on, in turns with the other connections of the loop.
    package func flush() {
        guard let context, !isInsideRead, !isFlushing else { return }
        isFlushing = true
        var turns = 0
        repeat {
            writeReplies(context)
            writeAnswers(context)
            // Last, because a cursor that is behind takes all the room there is.
            if becameWritable { resumeCursors() }
            if needsFlush {
                needsFlush = false
                writeOut(context)
                context.flush()
            }
            turns += 1
        } while (becameWritable || needsFlush) && turns < NativeHandler.flushTurnsMax
        isFlushing = false
        if becameWritable { continueLater() }
        resumeIfReplied()
        finishIfNothingIsOwed()
    }

    /// So many times the outbox is filled and emptied before others get their turn.
    private static let flushTurnsMax = 4

    private func continueLater() {
        shared.turns.later { [weak self] in self?.flush() }
    }

    private func writeReplies(_ context: ChannelHandlerContext) {
        guard context.channel.isWritable, replies.readableBytes > 0 else { return }
        out.writeBuffer(&replies)
        replies = ByteBuffer()
        needsFlush = true
    }

    private func writeAnswers(_ context: ChannelHandlerContext) {
        while context.channel.isWritable, out.readableBytes < NativeHandler.outBytesMax || drainOut(context),
            let frame = answers.next()
        {
            FrameWriter.write(frame, way ?? .json, into: &out)
            needsFlush = true
        }
    }

    /// Reads on where the peer has read what was pending for it.
    private func resumeIfReplied() {
        let answersWait =
            answers.count > shared.limits.answersMax || answers.bytes > shared.limits.repliesBytesMax
        if answersWait { pauses.insert(.replies) }
        guard pauses.contains(.replies), replies.readableBytes == 0, !answersWait else { return }
        pauses.remove(.replies)
        // Not at once: what is followed may fill the answers anew.
        if pauses.isEmpty { goOnLater() }
    }

    static let outBytesMax = 64 << 10

    /// - Returns: whether the peer takes more.
    private func drainOut(_ context: ChannelHandlerContext) -> Bool {
        writeOut(context)
        return context.channel.isWritable
    }

    // MARK: Answers

    package func answered(_ answer: ItemAnswer, bytes: Int) {
        switch answer {
        case .opened(let handle, let lastID):
            perform(session.opened(handle, lastID: lastID))
            return resume(.opening)
        case .refused(let error) where session.isOpening:
            return perform(session.openingFailed(error))
        case .refused(let error): refused(error)
        case .publish(let list):
            _ = inFlight.popFirst()
            commits += 1
            for answer in list { add(answer) }
        }
        if inFlight.isEmpty { shared.hub.publishers.settled(id) }
        uncommittedBytes -= bytes
        if uncommittedBytes < shared.limits.publishWindowBytes / 2 { resume(.window) }
    }

    private func add(_ answer: PublishAnswer) {
        switch answer {
        case .published(let run): answers.add(run)
        case .refused(let id, let error):
            shared.gauges.refused(error.code)
            answers.add(ErrorReply(error, id: id, count: 1), .committed(commits))
        }
    }

    func refused(_ error: ApusError) {
        // None is in flight where it was a name whose conversation has ended meanwhile.
        guard let owed = inFlight.popFirst() else { return }
        shared.gauges.refused(error.code)
        // What is queued behind a refusal that may pass is refused too: recorded ids stay a prefix.
        let endsPublishing = error.isFatal || (session.publisher != nil && error.mayPassLater)
        var said = error
        said.isFatal = endsPublishing
        commits += 1
        if owed.withID > 0 {
            answers.add(ErrorReply(said, id: owed.lastID, count: owed.withID), .committed(commits))
        }
        if owed.withoutID > 0 { answers.add(ErrorReply(said, count: owed.withoutID), .committed(commits)) }
        if endsPublishing { finish(session.fail(error)) }
    }

    package func resumeReading() { resume(.intake) }

    package func stopReading() -> Bool {
        guard let context, !session.isFinishing, pauses.insert(.intake).inserted else { return false }
        // A read that was asked for is taken back: only the change of this option does that.
        if !isInsideRead, let options = context.channel.syncOptions {
            for isOn in [true, false] { try? options.setOption(.autoRead, value: isOn) }
        }
        session.turnEnded(isInsideFrame: reader.isInsideFrame, isReading: false, now: .now())
        return true
    }

    // MARK: Incomplete frames and time

    /// What the connection's incomplete frame costs, as counted by the door.
    package private(set) var heldBytes = 0

    /// Whole frames that wait for their turn or for room, as counted by the door.
    private var deferredBytes = 0

    private func updateHeldBytes() {
        var bytes = reader.bytesHeld
        // What it did not get to is not its fault, as far as one turn has brought it.
        let isDeferred = isWaitingForTurn || pauses.contains(.intake)
        let deferred = isDeferred ? min(bytes, 2 * PausedPublishers.turnBytes) : 0
        shared.deferred(change: deferred - deferredBytes)
        deferredBytes = deferred
        bytes -= deferred
        guard bytes != heldBytes else { return }
        let before = heldBytes
        heldBytes = bytes
        shared.held(self, change: bytes - before)
    }

    /// The budget for incomplete frames is spent, and this connection holds most of it.
    package func exceedReceiveBudget() {
        finish(
            session.fail(
                ApusError(
                    .receiveBudget, "the budget for incomplete frames is spent, and this connection holds most of it",
                    hint: "Send large messages one after the other, or raise receive-bytes at the broker.")))
        inbound.reader = FrameReader(bounds: .init(headerBytesMax: 0, contentBytesMax: 0))
        heldBytes = 0
    }

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

/// What a submission in flight owes its publisher.
struct Owed {
    var withID: UInt64 = 0
    var lastID: UInt64 = 0
    var withoutID: UInt64 = 0

    init(_ submission: Submission) {
        for message in submission.messages where message.level != .none {
            if message.hasID {
                withID += 1
                lastID = message.id
            } else {
                withoutID += 1
            }
        }
    }
}
