// Performs what the session decides. Runs on the client's event loop.

internal import ApusModel
internal import ApusWire
internal import Logging
internal import NIOCore

/// Owns the session and its connection, and is the one exit for effects: commands and frames go into the session,
/// actions come out and are performed here. Confined to the event loop.
final class ClientCore {
    /// Publishes are encoded in pieces of about this size.
    private static let chunkBytes = 64 << 10

    private var session: ClientSession
    private let endpoint: Endpoint
    private let logger: Logger
    private let shared: SharedState
    private unowned let mailbox: Mailbox

    private var handler: ConnectionHandler?
    /// Counts attempts to connect: what belongs to an earlier one is not listened to.
    private var attempt = 0
    private var encoder = PublishEncoder()
    /// Bytes of this turn that are not written to the channel yet.
    private var outbox = ByteBuffer()
    private let onSendProgress: (@Sendable (_ sentBytes: Int, _ totalBytes: Int) -> Void)?
    private var isFlushNeeded = false
    private var isEndingTurn = false
    private var isTurnAgainNeeded = false
    private var timer: (deadline: NIODeadline, callback: NIOScheduledCallback)?

    private var starter: DoneContinuation?
    private var publishers: [UInt64: PublishContinuation] = [:]
    private var pending: [UInt64: PendingPublish] = [:]
    private var flushers: [UInt64: DoneContinuation] = [:]
    private var subscribers: [UInt32: SubscribeContinuation] = [:]
    private var closers: [CheckedContinuation<[OutgoingMessage], Never>] = []
    private var unacknowledged: [OutgoingMessage] = []

    private var subscriptions: [UInt32: Stream<Subscription.SubscriptionEvent>] = [:]
    private var queries: [UInt32: Stream<Row>] = [:]
    /// The streams that this read turn has brought something for.
    private var dirtySubscriptions: [Stream<Subscription.SubscriptionEvent>] = []
    private var dirtyQueries: [Stream<Row>] = []
    /// Of the last message: mostly of the next one too.
    private var current: Stream<Subscription.SubscriptionEvent>?

    init(
        settings: ClientSession.Settings, _ configuration: ClientConfiguration, shared: SharedState, mailbox: Mailbox
    ) {
        session = ClientSession(settings: settings)
        endpoint = configuration.endpoint
        logger = configuration.logger
        onSendProgress = configuration.onSendProgress
        self.shared = shared
        self.mailbox = mailbox
    }

    // MARK: Commands

    func perform(_ commands: [Command]) {
        let now = NIODeadline.now()
        for command in commands { perform(command, now) }
        endTurn()
    }

    private func perform(_ command: Command, _ now: NIODeadline) {
        switch command {
        case .start(let continuation):
            starter = continuation
            session.start(now)
        case .publish(let batch, let token, let handover, let pending, let continuation):
            publishers[token] = continuation
            self.pending[token] = pending
            session.publish(batch, token: token, handover, now)
        case .cancelPublish(let token): session.cancelPublish(token, now)
        case .flush(let token, let continuation):
            flushers[token] = continuation
            session.flush(token: token, now)
        case .cancelFlush(let token): session.cancelFlush(token)
        case .subscribe(let number, let filters, let from, let queue, let continuation):
            subscriptions[number] = Stream(number: number, queue: queue)
            subscribers[number] = continuation
            session.subscribe(number, filters: filters, from: from, now)
        case .unsubscribe(let number): session.unsubscribe(number, now)
        case .query(let query, let queue):
            queries[query.query] = Stream(number: query.query, queue: queue)
            session.query(query, now)
        case .cancelQuery(let number): session.cancelQuery(number, now)
        case .consumed(let target, let count, let bytes):
            session.consumed(target, count: count, bytes: bytes, now)
        case .close(let timeout, let continuation):
            guard !session.isClosed else { return continuation.resume(returning: unacknowledged) }
            closers.append(continuation)
            session.close(now + .milliseconds(Int64(max(0, timeout))), now)
        case .abandon: session.abandon()
        }
    }

    // MARK: The connection

    private func dial() {
        attempt += 1
        let attempt = attempt
        let mailbox = mailbox
        let future = Dialer.dial(
            endpoint, on: mailbox.eventLoop, timeout: session.settings.connectTimeout
        ) { channel in
            try channel.pipeline.syncOperations.addHandler(ConnectionHandler())
        }
        future.whenComplete { result in
            guard let core = mailbox.core.value, core.attempt == attempt else {
                if case .success(let channel) = result { channel.close(promise: nil) }
                return
            }
            core.dialed(result)
        }
    }

    private func dialed(_ result: Result<any Channel, any Error>) {
        let now = NIODeadline.now()
        do {
            let channel = try result.get()
            let handler = try channel.pipeline.syncOperations.handler(type: ConnectionHandler.self)
            guard handler.isActive else { throw ApusError(.unavailable, "the broker closed the connection at once") }
            self.handler = handler
            session.dialed(now)
            endTurn()
            handler.attach(self)
        } catch let error as ApusError {
            session.connectionLost(error, now)
            endTurn()
        } catch {
            session.connectionLost(Dialer.unavailable(endpoint, error), now)
            endTurn()
        }
    }

    func connectionLost(_ error: ApusError) {
        handler = nil
        attempt += 1
        outbox.clear()
        pushStaged(NIODeadline.now())
        session.connectionLost(error, NIODeadline.now())
        endTurn()
    }

    private func disconnect() {
        attempt += 1
        guard let handler else { return }
        pushStaged(NIODeadline.now())
        writeOutbox()
        if isFlushNeeded { handler.flush() }
        isFlushNeeded = false
        self.handler = nil
        handler.detach()
        handler.close()
    }

    // MARK: What comes over it

    /// Where this message goes; nil where nobody wants it.
    func stream(for envelope: Envelope) -> Stream<Subscription.SubscriptionEvent>? {
        let stream: Stream<Subscription.SubscriptionEvent>
        if let current, current.number == envelope.subscription {
            stream = current
        } else if let other = subscriptions[envelope.subscription] {
            stream = other
            current = other
        } else {
            return nil
        }
        guard envelope.seq > stream.skipThrough else {
            // It has used credit that nobody will give back by consuming it.
            let now = NIODeadline.now()
            let bytes = EnvelopeDecoder.cost(envelope)
            session.receivedMessages(stream.number, count: 1, bytes: bytes, lastSeq: 0, now)
            session.consumed(.subscription(stream.number), count: 1, bytes: bytes, now)
            return nil
        }
        if !stream.isStaging { dirtySubscriptions.append(stream) }
        return stream
    }

    func received(_ row: Row) {
        guard let stream = queries[row.query] else { return }
        if !stream.isStaging { dirtyQueries.append(stream) }
        let bytes = row.content.readableBytes + EnvelopeDecoder.overheadBytes
        stream.stage(row, bytes: bytes, seq: row.message?.seq ?? 0)
    }

    /// A frame other than `message` and `row`.
    func received(_ frame: Frame) {
        session.received(frame, NIODeadline.now())
        // At once: an event has its place between the messages before and after it.
        performActions()
        // The frame has ended the connection, and with it the read turn.
        if handler == nil { endTurn() }
    }

    func readTurnEnded() {
        pushStaged(NIODeadline.now())
        endTurn()
    }

    private func pushStaged(_ now: NIODeadline) {
        for stream in dirtySubscriptions {
            if stream.count > 0 {
                session.receivedMessages(
                    stream.number, count: stream.count, bytes: stream.bytes, lastSeq: stream.lastSeq, now)
            }
            stream.push()
        }
        for stream in dirtyQueries {
            session.receivedRows(stream.number, count: stream.count, bytes: stream.bytes, now)
            stream.push()
        }
        dirtySubscriptions.removeAll(keepingCapacity: true)
        dirtyQueries.removeAll(keepingCapacity: true)
    }

    // MARK: The end of a turn

    /// Performs what there is to do, writes as much as the channel takes, flushes once, sets the timer.
    func endTurn() {
        // Writing can come back here through the channel's writability.
        guard !isEndingTurn else {
            isTurnAgainNeeded = true
            return
        }
        isEndingTurn = true
        repeat {
            isTurnAgainNeeded = false
            performActions()
            writePublishes()
            performActions()
            writeOutbox()
            if isFlushNeeded {
                isFlushNeeded = false
                session.keepAlive.sent(NIODeadline.now())
                handler?.flush()
            }
        } while isTurnAgainNeeded
        isEndingTurn = false
        setTimer()
    }

    private func writePublishes() {
        guard session.canWritePublishes else { return }
        let now = NIODeadline.now()
        while session.canWritePublishes, let handler, handler.isWritable {
            session.writePublishes(into: &outbox, until: ClientCore.chunkBytes, encoder: &encoder, now)
            writeOutbox()
        }
    }

    private func writeOutbox() {
        guard outbox.readableBytes > 0 else { return }
        guard let handler else { return outbox.clear() }
        let isLarge = outbox.readableBytes > ClientConfiguration.progressBytes
        if isLarge, let onSendProgress {
            handler.write(outbox, piecesOf: ClientConfiguration.progressBytes, onSendProgress)
        } else {
            handler.write(outbox)
        }
        isFlushNeeded = true
        // The channel holds the storage until it is written; new storage is taken only while it does. A large one is
        // not kept for small frames.
        if isLarge { outbox = ByteBuffer() } else { outbox.clear() }
    }

    private func setTimer() {
        guard let deadline = session.nextDeadline else {
            timer?.callback.cancel()
            timer = nil
            return
        }
        // One that comes too early finds nothing to do and is set again: cheaper than moving it at every turn.
        if let timer, timer.deadline <= deadline { return }
        timer?.callback.cancel()
        timer = nil
        guard let callback = try? mailbox.eventLoop.scheduleCallback(at: deadline, handler: mailbox) else { return }
        timer = (deadline, callback)
    }

    func timerFired() {
        timer = nil
        session.timeHasCome(NIODeadline.now())
        endTurn()
    }

    // MARK: Actions

    private func performActions() {
        while true {
            let actions = session.takeActions()
            if actions.isEmpty { return }
            for action in actions { perform(action) }
        }
    }

    private func perform(_ action: ClientSession.Action) {
        switch action {
        case .dial: dial()
        case .write(let frame):
            if handler != nil { FrameWriter.write(frame, .compact, into: &outbox) }
        case .disconnect: disconnect()
        case .holdReading: handler?.holdReading()
        case .resumeReading: handler?.resumeReading()
        case .changeState(let state): changeState(state)
        case .welcomed(let welcome): shared.welcomed(ServerInfo(welcome))
        case .published(let outcome):
            pending.removeValue(forKey: outcome.token)?.complete(outcome.messages)
            publishers.removeValue(forKey: outcome.token)?.resume(returning: outcome.messages)
        case .admitted(let token): publishers.removeValue(forKey: token)?.resume(returning: PublishOutcome())
        case .flushed(let token, let error):
            flushers.removeValue(forKey: token)?.resume(returning: error.map { .failure($0) } ?? .success(()))
        case .subscribed, .skip, .event, .endSubscription, .endQuery, .reportEvery: performDelivery(action)
        case .closed(let unacknowledged, let error): closed(unacknowledged, error)
        }
    }

    private func performDelivery(_ action: ClientSession.Action) {
        switch action {
        case .subscribed(let number, let next):
            subscribers.removeValue(forKey: number)?.resume(returning: .success(next))
        case .skip(let number, let through): subscriptions[number]?.skipThrough = through
        case .event(let number, let event):
            guard let stream = subscriptions[number] else { return }
            if !stream.isStaging { dirtySubscriptions.append(stream) }
            stream.stage(event, bytes: 0, seq: nil)
        case .endSubscription(let number, let error):
            guard let stream = subscriptions.removeValue(forKey: number) else { return }
            if current === stream { current = nil }
            stream.push()
            stream.queue.end(error)
            let refusal = error ?? ApusError(.closed, "the client was closed")
            subscribers.removeValue(forKey: number)?.resume(returning: .failure(refusal))
        case .endQuery(let number, let error):
            guard let stream = queries.removeValue(forKey: number) else { return }
            stream.push()
            stream.queue.end(error)
        case .reportEvery(.subscription(let number), let count): subscriptions[number]?.queue.report(every: count)
        case .reportEvery(.query(let number), let count): queries[number]?.queue.report(every: count)
        default: break
        }
    }

    private func changeState(_ state: ApusClient.State) {
        // Before anybody is told otherwise: who has connected sees it.
        shared.change(state)
        switch state {
        case .connected:
            logger.debug("connected", metadata: ["broker": "\(endpoint)"])
            starter?.resume(returning: .success(()))
            starter = nil
        case .reconnecting(let attempt, let error):
            logger.notice(
                "no connection to the broker",
                metadata: ["broker": "\(endpoint)", "attempt": "\(attempt)", "error": "\(error)"])
        case .connecting, .closed: break
        }
    }

    private func closed(_ messages: [OutgoingMessage], _ error: ApusError?) {
        unacknowledged = messages
        starter?.resume(returning: .failure(error ?? ApusError(.cancelled, "connecting was cancelled")))
        starter = nil
        for closer in closers { closer.resume(returning: messages) }
        closers = []
    }
}
