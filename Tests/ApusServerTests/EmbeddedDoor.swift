import ApusBroker
import ApusModel
import ApusServer
import ApusTesting
import ApusWire
import Atomics
import Logging
import NIOCore
import NIOEmbedded

/// The native door on an event loop that a test turns, with nobody behind the intake but the test.
final class EmbeddedDoor {
    let loop = EmbeddedEventLoop()
    let intake: Intake
    let hub: Hub
    private let door: NativeDoor

    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    init(limits: Limits = .defaults) {
        let store = MemoryStore()
        let workers = WorkerPool()
        intake = Intake(limits: limits)
        let announcer = Announcer(head: 0)
        let turns = TurnQueue(loop: loop)
        hub = Hub(
            index: 0, loop: loop, limits: limits, announcer: announcer,
            readers: PageReader(store: store, workers: workers, limits: limits), cursors: ManagedAtomic(0),
            publishers: PausedPublishers(hub: 0, intake: intake, turns: turns), clock: { 1_000_000 })
        door = NativeDoor(
            hub: hub, loop: loop, turns: turns, intake: intake, limits: limits, loops: 1, log: "memory",
            defaultTopic: nil, queries: store, queryWorkers: workers, gauges: Gauges(), metrics: BrokerMetrics(),
            logins: Authenticator(access: OpenAccess(), workers: workers, limits: limits, logger: logger),
            clock: { 1_000_000 },
            gatherFigures: { $0() }, makeStatus: { _ in .object([]) })
        announcer.add(Port(loop: loop, hub: NIOLoopBound(hub, eventLoop: loop)))
    }

    private struct Port: HubPort {
        let loop: EmbeddedEventLoop
        let hub: NIOLoopBound<Hub>

        func post(_ announcement: Announcement) { loop.execute { [hub] in hub.value.receive(announcement) } }
    }

    func connect() throws -> EmbeddedChannel {
        let origin = ConnectionOrigin(
            listener: ListenerConfiguration(.tcp(host: "127.0.0.1", port: 0)), peerAddress: "127.0.0.1",
            isLocal: true)
        let handler = NativeHandler(door: door, origin: origin, opened: .now(), now: .now(), logger: logger)
        let channel = EmbeddedChannel(handler: handler, loop: loop)
        channel.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 1), promise: nil)
        return channel
    }

    /// As the broker says that it stops, to those that come from now on.
    func stop() { door.isStopping = true }

    /// What the intake got since the last call: the number of messages of each submission.
    func submissions() -> [Int] {
        var counts: [Int] = []
        while case .batch(let batch) = intake.take(timeoutMicroseconds: 0) {
            for case .publish(let submission) in batch.items { counts.append(submission.messages.count) }
        }
        return counts
    }

    /// Lets the loop come to its next turn.
    func turn() { loop.advanceTime(by: TurnQueue.delay) }
}

extension EmbeddedChannel {
    func send(_ bytes: some Sequence<UInt8>) throws { try writeInbound(ByteBuffer(bytes: bytes)) }

    /// The frames that came out since the last call, in short.
    func frames() throws -> [String] {
        var reader = FrameReader(bounds: .init(headerBytesMax: 65_535, contentBytesMax: 1 << 30))
        while let bytes = try readOutbound(as: ByteBuffer.self) { reader.append(bytes) }
        var texts: [String] = []
        while let frame = try reader.next() { texts.append(ScriptedPeer.text(frame)) }
        return texts
    }
}
