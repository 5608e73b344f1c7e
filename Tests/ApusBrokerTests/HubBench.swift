import ApusModel
import ApusTesting
import Atomics
import Dispatch
import NIOCore
import Testing

@testable import ApusBroker

/// An event loop that does what it was given when the test says so. Other threads may hand work over.
final class ManualLoop: EventLoop {
    private let work = Watched<[@Sendable () -> Void]>([])

    /// Everything that a test calls is on the loop; what other threads bring waits for ``run()``.
    var inEventLoop: Bool { true }

    func execute(_ task: @escaping @Sendable () -> Void) { work.change { $0.append(task) } }

    func run() {
        for task in work.change({ work in
            defer { work = [] }
            return work
        }) { task() }
    }

    var isIdle: Bool { work.value.isEmpty }

    func wait(forTasks count: Int) throws {
        try work.wait("\(count) tasks for the loop") { $0.count >= count }
    }

    func submit<Value>(_ task: @escaping @Sendable () throws -> Value) -> EventLoopFuture<Value> {
        preconditionFailure("not needed")
    }

    func scheduleTask<Value>(deadline: NIODeadline, _ task: @escaping @Sendable () throws -> Value) -> Scheduled<Value>
    {
        preconditionFailure("not needed")
    }

    /// Whatever is due later comes with the next ``run()``.
    func scheduleTask<Value>(in time: TimeAmount, _ task: @escaping @Sendable () throws -> Value) -> Scheduled<Value> {
        let promise = makePromise(of: Value.self)
        execute {
            do {
                promise.assumeIsolatedUnsafeUnchecked().succeed(try task())
            } catch {
                promise.fail(error)
            }
        }
        return Scheduled(promise: promise, cancellationTask: {})
    }

    func preconditionInEventLoop(file: StaticString, line: UInt) {}

    func shutdownGracefully(queue: DispatchQueue, _ callback: @escaping @Sendable ((any Error)?) -> Void) {
        callback(nil)
    }
}

/// A subscriber that takes as much as a test lets it, and writes down what came.
final class ScriptedOutlet: SubscriptionOutlet {
    let id = ConnectionID(hub: 0, number: 1)

    enum Event: Hashable {
        case subscribed(next: Seq)
        case message(Seq)
        case retained(Seq)
        case caughtUp(Seq)
        case gap(Gap)
        case failed(ApusError)
    }

    private(set) var events: [Event] = []
    /// How many chunks it takes before it is not writable any more.
    var room = Int.max
    /// How many messages a chunk has at most.
    var chunkMessages = Int.max
    private(set) var encoded = 0
    private(set) var flushes = 0

    var isWritable: Bool { room > 0 }

    var messages: [Seq] {
        events.compactMap { if case .message(let seq) = $0 { seq } else { nil } }
    }

    func encode(_ request: ChunkRequest) -> Chunk {
        encoded += 1
        let count = request.selection.count(in: request.batch)
        var chunk = Chunk(bytes: ByteBuffer(), end: request.start, count: 0, expired: [])
        while chunk.end < count, chunk.count < min(request.countMax, chunkMessages) {
            let message = request.selection.message(chunk.end, in: request.batch)
            chunk.end += 1
            if message.expiresAt != 0, message.expiresAt <= request.now {
                chunk.expired.append(message.seq)
                continue
            }
            chunk.bytes.writeMultipleIntegers(message.seq, UInt8(request.isRetained ? 1 : 0))
            chunk.count += 1
        }
        return chunk
    }

    func write(_ chunk: Chunk) {
        var bytes = chunk.bytes
        if room != .max { room -= 1 }
        while let (seq, isRetained) = bytes.readMultipleIntegers(as: (Seq, UInt8).self) {
            events.append(isRetained == 1 ? .retained(seq) : .message(seq))
        }
    }

    func subscribed(_ subscription: Subscription, next: Seq) { events.append(.subscribed(next: next)) }
    func caughtUp(_ subscription: Subscription, seq: Seq) { events.append(.caughtUp(seq)) }
    func gap(_ subscription: Subscription, _ gap: Gap) { events.append(.gap(gap)) }
    func failed(_ subscription: Subscription, _ error: ApusError) { events.append(.failed(error)) }
    func flush() { flushes += 1 }
}

/// A hub with a memory store behind it, on a loop that the test turns.
final class HubBench {
    struct Port: HubPort {
        let loop: ManualLoop
        let hub: NIOLoopBound<Hub>

        func post(_ announcement: Announcement) {
            loop.execute { [hub] in hub.value.receive(announcement) }
        }
    }

    let store: MemoryStore
    let clock = ManualClock(1_000_000)
    let loop = ManualLoop()
    let announcer: Announcer
    let pages: PageReader
    let hub: Hub
    private let cursors = ManagedAtomic(0)
    var cursorCount: Int { cursors.load(ordering: .relaxed) }
    private let workers = WorkerPool()
    private var subscriptions: [Subscription] = []

    init(limits: Limits = .defaults) {
        let clock = clock
        store = MemoryStore { clock.now }
        announcer = Announcer(head: 0)
        pages = PageReader(store: store, workers: workers, limits: limits)
        hub = Hub(
            index: 0, loop: loop, limits: limits, announcer: announcer, readers: pages, cursors: cursors,
            publishers: PausedPublishers(
                hub: 0, intake: Intake(limits: limits), turns: TurnQueue(loop: loop)), clock: { clock.now })
        announcer.add(Port(loop: loop, hub: NIOLoopBound(hub, eventLoop: loop)))
        let workers = workers
        onThread { workers.run() }
    }

    deinit { workers.close() }

    /// Commits one message for each topic and announces them; nothing is delivered before ``turn()``.
    func commit(_ topics: [String], ttl: UInt32 = 0, isRetained: Bool = false, payload: String = "x") throws {
        let item = IntakeItem.publish(try submission(topics, ttl: ttl, isRetained: isRetained, payload: payload))
        announcer.announce(items: [item], outcome: try store.append([item]), freed: [])
    }

    func turn() { loop.run() }

    @discardableResult
    func subscribe(
        _ texts: [String], from start: StartPosition = .now, credit: UInt64? = nil, number: UInt32 = 1,
        outlet: ScriptedOutlet
    ) throws -> Subscription {
        try subscribe(
            FilterSet(try texts.map { (text) throws(ApusError) in try TopicFilter(text) }), from: start, credit: credit,
            number: number, outlet: outlet)
    }

    @discardableResult
    func subscribe(
        _ set: FilterSet, from start: StartPosition = .now, credit: UInt64? = nil, number: UInt32 = 1,
        outlet: ScriptedOutlet
    ) throws -> Subscription {
        let subscription = hub.subscribe(
            number: number, form: 0, filters: set, from: start, credit: credit, outlet: outlet)
        subscriptions.append(subscription)
        hub.start(subscription)
        return subscription
    }

    func unsubscribe(_ subscription: Subscription) { hub.unsubscribe(subscription) }

    /// Lets one round of reads that are on their way end: with one reader, what a connection asks last is done last.
    func read() throws {
        let isDone = Watched(false)
        workers.perform(for: ConnectionID(hub: 0, number: 1)) { isDone.change { $0 = true } }
        try isDone.wait("the reads") { $0 }
        loop.run()
    }

    /// Turns until nothing is left to do.
    func settle() throws {
        repeat { try read() } while !loop.isIdle || hasReads
    }

    private var hasReads: Bool {
        subscriptions.removeAll { $0.isClosed }
        return subscriptions.contains { $0.isReading }
    }
}
