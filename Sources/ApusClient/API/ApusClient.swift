internal import ApusWire
internal import Logging
internal import NIOConcurrencyHelpers
internal import NIOCore
internal import NIOPosix

/// A connection to an Apus broker that outlives its sockets.
///
/// Made by ``connect(_:)``, used from any number of tasks, ended by ``close(timeoutMilliseconds:)``; a client that
/// nobody holds any more closes by itself, at once. All errors are ``ApusError``. Where a task is cancelled, the call it
/// waits in throws `cancelled`.
///
/// What happens when the connection breaks depends on ``ClientConfiguration/reconnects`` and on
/// ``ClientConfiguration/publisher``. A client that reconnects resumes its subscriptions after the last message handed
/// over. Publishes that were not sent yet are sent then. Those that were, and were not acknowledged, are sent again by a
/// publisher with a name, and recorded once; without a name they throw `connection-lost`, because whether they were
/// recorded is unknown.
public final class ApusClient: Sendable {
    /// How it stands with the connection.
    public enum State: Sendable, Hashable {
        case connecting
        case connected
        /// Waiting for the next attempt, or making it; `attempt` counts from 1 since the last connection that held.
        case reconnecting(attempt: Int, after: ApusError)
        case closed
    }

    private let mailbox: Mailbox
    private let shared: SharedState
    private let receiveBytesMax: Int

    private init(_ configuration: ClientConfiguration) throws(ApusError) {
        let settings = try ClientSession.Settings(configuration)
        let mailbox = Mailbox(eventLoop: MultiThreadedEventLoopGroup.singleton.next())
        let shared = SharedState()
        self.mailbox = mailbox
        self.shared = shared
        receiveBytesMax = settings.receiveBytesMax
        mailbox.eventLoop.execute {
            mailbox.core.value = ClientCore(settings: settings, configuration, shared: shared, mailbox: mailbox)
        }
    }

    deinit { mailbox.send(.abandon) }

    /// Connects, and returns when the broker has greeted.
    ///
    /// - Throws: `unavailable`, saying which addresses were tried and what came of each; `not-allowed` and others as the
    ///   broker says; `usage` where the configuration cannot be.
    public static func connect(_ configuration: ClientConfiguration) async throws(ApusError) -> ApusClient {
        let client = try ApusClient(configuration)
        try await client.call {
            .start($0)
        } orCancel: {
            .abandon
        }
        return client
    }

    public var state: State { shared.state }

    /// The present state and those that follow. Ends when the client is closed. One who does not look misses the
    /// oldest of more than 64.
    public func states() -> AsyncStream<State> { shared.states() }

    /// What the broker said when it greeted last.
    public var welcome: ServerInfo {
        shared.info ?? ServerInfo(Welcome(clientID: "", log: "", lastID: nil, keepAlive: 0, limits: [:]))
    }

    // MARK: Publishing

    /// Publishes one message, and returns when it is acknowledged at the level it asks for.
    ///
    /// - Throws: what the broker refuses it with; `message-too-large` and others without sending it; `timed-out`;
    ///   `connection-lost` if whether it was recorded is unknown; `closed`; `cancelled`.
    @discardableResult
    public func publish(_ message: OutgoingMessage) async throws(ApusError) -> Receipt {
        let receipts = try await publish([message])
        guard let receipt = receipts.first else { throw ApusError(.internalError, "a publish without a receipt") }
        return receipt
    }

    /// Publishes messages in this order, without waiting in between, and returns when all are acknowledged.
    ///
    /// Waits for room first, see ``ClientConfiguration/unsentBytesMax``.
    ///
    /// - Throws: the first refusal, when all of them are answered: others may have been recorded. If one of the messages
    ///   cannot be sent (too large, a wildcard in its topic), none is.
    @discardableResult
    public func publish(_ messages: [OutgoingMessage]) async throws(ApusError) -> [Receipt] {
        let outcome = await hand(over: try PreparedBatch(messages, limits: limits), .awaited)
        if let error = outcome.error { throw error }
        return outcome.receipts
    }

    /// Publishes messages in this order, and says for each of them what became of it.
    ///
    /// One that cannot be sent or is refused does not keep the others from being recorded: who wants to stop at the
    /// first refusal publishes one by one. Where ``ApusError/isOutcomeUnknown`` is true, the message was sent and may be
    /// recorded; all other failures are not. Cancelling takes back what was not sent; it throws nothing.
    ///
    /// - Returns: as many results as there are messages, in their order.
    public func publishEach(_ messages: [OutgoingMessage]) async -> [Result<Receipt, ApusError>] {
        let (batch, refused) = PreparedBatch.sorted(messages, limits: limits)
        return await hand(over: batch, .awaited).results(count: messages.count, refused: refused)
    }

    /// Hands messages over, and returns when there is room for them; the value says later what became of each.
    ///
    /// Many of them can follow each other without waiting for answers; see ``ClientConfiguration/unsentBytesMax``. One
    /// whose caller is cancelled while it waits for room is not sent.
    public func submit(_ messages: [OutgoingMessage]) async -> PendingPublish {
        let (batch, refused) = PreparedBatch.sorted(messages, limits: limits)
        let pending = PendingPublish(count: messages.count, refused: refused)
        _ = await hand(over: batch, .followed, pending)
        return pending
    }

    /// Hands messages over without waiting for receipts; waits for room only. What becomes of them, ``flush()`` says.
    ///
    /// - Throws: if one of the messages cannot be sent, and none of them is; `timed-out` if there is no room in time;
    ///   `closed`; `cancelled`.
    public func enqueue(_ messages: [OutgoingMessage]) async throws(ApusError) {
        let outcome = await hand(over: try PreparedBatch(messages, limits: limits), .enqueued)
        if let error = outcome.error { throw error }
    }

    private var limits: [String: UInt64] { shared.info?.limits ?? [:] }

    private func hand(
        over batch: PreparedBatch, _ handover: PublishWindow.Handover, _ pending: PendingPublish? = nil
    ) async -> PublishOutcome {
        let token = mailbox.nextToken()
        return await ask {
            .publish(batch, token: token, handover, pending: pending, $0)
        } orCancel: {
            .cancelPublish(token)
        }
    }

    /// Returns when everything that was handed over before is answered.
    ///
    /// - Throws: the first failure of an enqueued message since the last flush.
    public func flush() async throws(ApusError) {
        let token = mailbox.nextToken()
        try await call {
            .flush(token, $0)
        } orCancel: {
            .cancelFlush(token)
        }
    }

    // MARK: Subscribing

    /// Subscribes, and returns when the broker has accepted.
    ///
    /// - Parameter filters: a message comes once, however many of them it matches.
    /// - Throws: `invalid-filter`, and what the broker refuses it with.
    public func subscribe(
        _ filters: [String], from: StartPosition = .now
    ) async throws(ApusError) -> Subscription {
        guard !filters.isEmpty else { throw ApusError(.usage, "a subscription without a filter") }
        let parsed = try Filters.parse(filters)
        let mailbox = mailbox
        let number = mailbox.nextNumber()
        let queue = DeliveryQueue<Subscription.SubscriptionEvent>(
            bytesMax: receiveBytesMax, reportEvery: CreditWindow.initialMessages / 4
        ) { mailbox.send(.consumed(.subscription(number), count: $0, bytes: $1)) }
        let next = try await call {
            .subscribe(number, filters: parsed, from: from, queue, $0)
        } orCancel: {
            .unsubscribe(number)
        }
        return Subscription(
            next: next, source: DeliverySource(client: self, queue: queue) { mailbox.send(.unsubscribe(number)) })
    }

    // MARK: Asking

    /// Reads the log. The rows come as they are consumed.
    ///
    /// - Throws: `invalid-filter`, `usage`. What the broker refuses it with comes from the rows, and `connection-lost`
    ///   if the connection breaks in between.
    public func history(_ query: HistoryQuery) async throws(ApusError) -> HistoryRows {
        HistoryRows(source: ask(try query.wire()))
    }

    /// The topics of the log that match any of the filters; all, if there are none.
    public func topics(_ filters: [String]) async throws(ApusError) -> [TopicInfo] {
        var query = Query(query: 0, select: .topics)
        query.filters = try Filters.parse(filters)
        var rows = DeliveryIterator(source: ask(query))
        var topics: [TopicInfo] = []
        while let row = try await rows.next() { topics.append(try TopicInfo(json: row.content)) }
        if Task.isCancelled { throw ApusError(.cancelled, "the query was cancelled") }
        return topics
    }

    /// How the broker is doing: a JSON object, as the broker sent it.
    public func status() async throws(ApusError) -> String {
        var rows = DeliveryIterator(source: ask(Query(query: 0, select: .status)))
        var text: String?
        while let row = try await rows.next() { text = text ?? String(buffer: row.content) }
        if Task.isCancelled { throw ApusError(.cancelled, "the query was cancelled") }
        guard let text else { throw ApusError(.queryFailed, "the broker sent no status") }
        return text
    }

    private func ask(_ query: Query) -> DeliverySource<Row> {
        let mailbox = mailbox
        var query = query
        query.query = mailbox.nextNumber()
        let number = query.query
        let queue = DeliveryQueue<Row>(
            bytesMax: receiveBytesMax, reportEvery: CreditWindow.initialMessages / 4
        ) { mailbox.send(.consumed(.query(number), count: $0, bytes: $1)) }
        mailbox.send(.query(query, queue))
        return DeliverySource(client: self, queue: queue) { mailbox.send(.cancelQuery(number)) }
    }

    // MARK: Closing

    /// Ends the subscriptions, waits for acknowledgements and for running queries until the time is up, says goodbye
    /// and closes.
    ///
    /// A query goes on only as long as its rows are consumed. One that has not ended by then throws `closed`, naming
    /// the query, behind the rows that have come.
    ///
    /// - Returns: what was handed over and not acknowledged, in order. Some of it may be recorded nevertheless.
    @discardableResult
    public func close(timeoutMilliseconds: Int = 10_000) async -> [OutgoingMessage] {
        await withCheckedContinuation { mailbox.send(.close(timeoutMilliseconds: timeoutMilliseconds, $0)) }
    }

    // MARK: Calls to the event loop

    private typealias Answer<Value> = CheckedContinuation<Result<Value, ApusError>, Never>

    private func call<Value: Sendable>(
        _ command: (Answer<Value>) -> Command, orCancel cancel: @escaping @Sendable () -> Command
    ) async throws(ApusError) -> Value {
        try await ask(command, orCancel: cancel).get()
    }

    /// Sends a command and waits for its answer; a cancellation is sent after it, and answered by it too.
    private func ask<Value: Sendable>(
        _ command: (CheckedContinuation<Value, Never>) -> Command, orCancel cancel: @escaping @Sendable () -> Command
    ) async -> Value {
        let mailbox = mailbox
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                mailbox.send(command(continuation))
                // A cancellation before now was sent ahead of its command.
                if Task.isCancelled { mailbox.send(cancel()) }
            }
        } onCancel: {
            mailbox.send(cancel())
        }
    }
}

extension TopicInfo {
    /// - Throws: `query-failed` where the row is not what it should be.
    init(json content: ByteBuffer) throws(ApusError) {
        let json = try JSONParser.parse(String(buffer: content))
        guard case .string(let topic) = json["topic"] else {
            throw ApusError(.queryFailed, "the broker sent a row of topics without a topic")
        }
        func number(_ name: String) -> UInt64 {
            if case .integer(let value) = json[name] { UInt64(clamping: value) } else { 0 }
        }
        self.init(topic: topic, messages: number("messages"), lastSeq: number("last-seq"))
    }
}

extension ClientSession.Settings {
    /// The longest text of a hello, so that all of them fit into one frame.
    private static let textBytesMax = 4_096

    /// - Throws: `usage`.
    init(_ configuration: ClientConfiguration) throws(ApusError) {
        var hello = Hello()
        hello.clientID = configuration.clientID
        hello.publisher = configuration.publisher
        hello.token = configuration.token
        if hello.token == nil {
            hello.user = configuration.user ?? configuration.endpoint.user
            hello.password = configuration.password ?? configuration.endpoint.password
        }
        let texts = [
            hello.clientID, hello.publisher, hello.user, hello.password?.revealed, hello.token?.revealed,
        ]
        guard texts.allSatisfy({ ($0?.utf8.count ?? 0) <= Self.textBytesMax }) else {
            throw ApusError(
                .usage, "client id, publisher, user, password or token is longer than \(Self.textBytesMax) bytes")
        }
        guard hello.publisher != "" else { throw ApusError(.usage, "the publisher's name is empty") }
        for (name, value, least) in [
            ("keepAliveSeconds", configuration.keepAliveSeconds, 0),
            ("connectTimeoutMilliseconds", configuration.connectTimeoutMilliseconds, 1),
            ("unsentBytesMax", configuration.unsentBytesMax, 1),
            ("receiveBytesMax", configuration.receiveBytesMax, 1),
            ("publishTimeoutMilliseconds", configuration.publishTimeoutMilliseconds ?? 1, 1),
            ("backoffMilliseconds", configuration.backoffMilliseconds.lowerBound, 0),
        ] where value < least || value > 1 << 40 {
            throw ApusError(.usage, "\(name) is \(value), it is at least \(least)")
        }
        if configuration.keepAliveSeconds > 0 { hello.keepAlive = UInt64(configuration.keepAliveSeconds) }
        self.init(hello: hello)
        reconnects = configuration.reconnects
        waitsForBroker = configuration.waitsForBroker
        backoffMilliseconds = configuration.backoffMilliseconds
        connectTimeout = .milliseconds(Int64(configuration.connectTimeoutMilliseconds))
        unsentBytesMax = configuration.unsentBytesMax
        publishTimeout = configuration.publishTimeoutMilliseconds.map { .milliseconds(Int64($0)) }
        receiveBytesMax = configuration.receiveBytesMax
        seed = UInt64.random(in: .min ... .max)
    }
}
