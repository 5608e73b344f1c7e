internal import ApusWire

/// The messages that match a subscription's filters, in the order of their seqs.
///
/// Iterate once. It ends when it is cancelled, when the iterating task is, when its iterator goes, or when the client
/// closes; it throws when it cannot go on (`log-changed` and others). Over a lost connection it goes on where it
/// was. Messages that are not consumed wait in the broker's log: little more than
/// ``ClientConfiguration/receiveBytesMax`` is buffered here.
///
/// A payload is a piece of what was read from the socket: a program that keeps a small one for long should copy it.
public struct Subscription: AsyncSequence, Sendable {
    public typealias Element = SubscriptionEvent
    public typealias Failure = ApusError

    public enum SubscriptionEvent: Sendable {
        case message(Message)
        /// The past is through: what comes from now on is new.
        case caughtUp(seq: Seq)
        /// Messages that matched are not delivered, and why.
        case gap(from: Seq, through: Seq, count: UInt64, reason: String)
    }

    /// The first seq that can come.
    public var next: Seq
    private let source: DeliverySource<SubscriptionEvent>

    init(next: Seq, source: DeliverySource<SubscriptionEvent>) {
        self.next = next
        self.source = source
    }

    /// Ends the subscription. What has come already can still be taken; then the sequence ends.
    public func cancel() { source.cancel() }

    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(base: DeliveryIterator(source: source)) }

    public struct AsyncIterator: AsyncIteratorProtocol {
        private var base: DeliveryIterator<SubscriptionEvent>

        fileprivate init(base: DeliveryIterator<SubscriptionEvent>) { self.base = base }

        public mutating func next() async throws(ApusError) -> SubscriptionEvent? { try await base.next() }

        public mutating func next(
            isolation actor: isolated (any Actor)?
        ) async throws(ApusError) -> SubscriptionEvent? {
            try await base.next(isolation: actor)
        }
    }

    /// Only the messages.
    public var messages: some AsyncSequence<Message, any Error> { Messages(source: source) }

    private struct Messages: AsyncSequence, Sendable {
        typealias Element = Message
        typealias Failure = any Error

        let source: DeliverySource<SubscriptionEvent>

        func makeAsyncIterator() -> AsyncIterator { AsyncIterator(base: DeliveryIterator(source: source)) }

        struct AsyncIterator: AsyncIteratorProtocol {
            var base: DeliveryIterator<SubscriptionEvent>

            mutating func next() async throws -> Message? { try await next(isolation: nil) }

            mutating func next(isolation actor: isolated (any Actor)?) async throws(any Error) -> Message? {
                while let event = try await base.next(isolation: actor) {
                    if case .message(let message) = event { return message }
                }
                return nil
            }
        }
    }
}

/// Messages of the log. Iterate once; leaving the loop cancels the query.
public struct HistoryRows: AsyncSequence, Sendable {
    public typealias Element = Message
    public typealias Failure = ApusError

    private let source: DeliverySource<Row>

    init(source: DeliverySource<Row>) { self.source = source }

    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(base: DeliveryIterator(source: source)) }

    public struct AsyncIterator: AsyncIteratorProtocol {
        private var base: DeliveryIterator<Row>

        fileprivate init(base: DeliveryIterator<Row>) { self.base = base }

        public mutating func next() async throws(ApusError) -> Message? { try await next(isolation: nil) }

        public mutating func next(isolation actor: isolated (any Actor)?) async throws(ApusError) -> Message? {
            while let row = try await base.next(isolation: actor) {
                if let message = row.message { return message }
            }
            return nil
        }
    }
}
