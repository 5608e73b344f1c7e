// Stations 1 to 4, reading. Runs on the connection's event loop. In: bytes. Out: actions of the session, one submission a
// turn. Bounded by the work of a turn, the publish window, the intake; what it may not take, it leaves in the socket.

internal import ApusBroker
internal import ApusModel
internal import ApusWire
internal import Logging
internal import NIOCore

extension NativeHandler {
    /// Follows the frames that are there, until there is a reason to wait or the turn's work is done.
    func process() {
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

    func goOnLater() {
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
            told(reply.error)
            if isAnswered {
                refuse(reply)
            } else {
                // It expects no answer, now or when it is sent again.
                logger.debug("refused", metadata: ["error": "\(reply.error)"])
            }
        }
    }

    /// A publish that goes no further is answered in its place.
    func refuse(_ reply: ErrorReply) {
        if let id = reply.id, session.publisher != nil { inbound.builder.refuse(id: id, reply.error.code) }
        answers.add(reply, .atOnce(behind: inbound.accepted))
        if answers.bytes > shared.limits.repliesBytesMax { pauses.insert(.replies) }
    }

    /// Sends the turn's publishes off, and everything that was answered in the turn.
    func endTurn() {
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

    func readMore() {
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

    // MARK: Incomplete frames

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
        // Given back already, and first of all: saying so may find the connection reset, and end it at once.
        heldBytes = 0
        inbound.reader = FrameReader(bounds: .init(headerBytesMax: 0, contentBytesMax: 0))
        finish(
            session.fail(
                ApusError(
                    .receiveBudget, "the budget for incomplete frames is spent, and this connection holds most of it",
                    hint: "Send large messages one after the other, or raise receive-bytes at the broker.")))
    }
}
