internal import ApusModel
internal import ApusWire
internal import NIOConcurrencyHelpers
internal import NIOCore

typealias PublishContinuation = CheckedContinuation<PublishOutcome, Never>
typealias SubscribeContinuation = CheckedContinuation<Result<Seq, ApusError>, Never>
typealias DoneContinuation = CheckedContinuation<Result<Void, ApusError>, Never>

/// What the façade asks of the event loop.
enum Command: Sendable {
    case start(DoneContinuation)
    /// With `pending`, it is told of the answers, and the caller of room only.
    case publish(PreparedBatch, token: UInt64, PublishWindow.Handover, pending: PendingPublish?, PublishContinuation)
    case cancelPublish(UInt64)
    case flush(UInt64, DoneContinuation)
    case cancelFlush(UInt64)
    case subscribe(
        UInt32, filters: [TopicFilter], from: StartPosition, DeliveryQueue<Subscription.SubscriptionEvent>,
        SubscribeContinuation)
    case unsubscribe(UInt32)
    case query(Query, DeliveryQueue<Row>)
    case cancelQuery(UInt32)
    case consumed(Credit.Target, count: Int, bytes: Int)
    case close(timeoutMilliseconds: Int, CheckedContinuation<[OutgoingMessage], Never>)
    case abandon
}

/// The way from any thread to the event loop: however many callers there are, one hop takes along all that has queued
/// up. `pending` is protected by its lock, `core` is confined to the event loop.
final class Mailbox: Sendable, NIOScheduledCallbackHandler {
    private struct Pending {
        var commands: [Command] = []
        var isScheduled = false
        var nextToken: UInt64 = 0
        var nextNumber: UInt32 = 0
    }

    let eventLoop: any EventLoop
    private let pending = NIOLockedValueBox(Pending())
    let core: NIOLoopBoundBox<ClientCore?>

    init(eventLoop: any EventLoop) {
        self.eventLoop = eventLoop
        core = .makeEmptyBox(valueType: ClientCore.self, eventLoop: eventLoop)
    }

    /// Pairs a call with its outcome.
    func nextToken() -> UInt64 {
        pending.withLockedValue { pending in
            pending.nextToken += 1
            return pending.nextToken
        }
    }

    /// For a subscription or a query; never one that is in use.
    func nextNumber() -> UInt32 {
        pending.withLockedValue { pending in
            pending.nextNumber = pending.nextNumber == .max ? 1 : pending.nextNumber + 1
            return pending.nextNumber
        }
    }

    func send(_ command: Command) {
        let isFirst = pending.withLockedValue { pending in
            pending.commands.append(command)
            defer { pending.isScheduled = true }
            return !pending.isScheduled
        }
        if isFirst { eventLoop.execute { self.deliver() } }
    }

    private func deliver() {
        let commands = pending.withLockedValue { pending in
            defer { pending.commands = [] }
            pending.isScheduled = false
            return pending.commands
        }
        core.value?.perform(commands)
    }

    func handleScheduledCallback(eventLoop: some EventLoop) {
        core.value?.timerFired()
    }
}
