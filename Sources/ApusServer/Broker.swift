package import ApusBroker
package import ApusModel
internal import Atomics
internal import Foundation
package import Logging
internal import NIOConcurrencyHelpers
internal import NIOCore
internal import NIOPosix

/// The broker: a store, its writer thread, its readers, its event loops and its listeners, wired together.
package final class Broker: Sendable {
    package struct Configuration: Sendable {
        package var listeners = ["127.0.0.1", "::1"].map {
            ListenerConfiguration(.tcp(host: $0, port: DefaultPort.native))
        }
        package var limits = Limits.defaults
        /// Event loops. On 2 cores a second one changed nothing in the measurements, so there is one per two cores.
        package var eventLoops = max(1, System.coreCount / 2)
        /// Where a publish without a topic goes, unless the listener says otherwise; nil refuses it.
        package var defaultTopic: Topic?
        /// Who the users are, and what they may do. Without users, and without client certificates, addresses that other
        /// machines reach are listened on only where the listener allows it.
        package var access: any AccessControl = OpenAccess()
        package var version = "0"
        package var logger = Logger(label: "apus")

        package init() {}
    }

    let configuration: Configuration
    private let store: any LogStore
    let group: MultiThreadedEventLoopGroup
    private let intake: Intake
    private let readers: WorkerPool
    private let queryWorkers: WorkerPool
    private let loginWorkers: WorkerPool
    /// Checks logins, for every door.
    package let logins: Authenticator
    let loops: [Loop]
    let admission: Admission
    package let gauges: Gauges
    private let writerEnd: WriterEnd
    /// What is counted, for the doors and for who watches.
    package let metrics: BrokerMetrics
    let figures: BrokerFigures
    let listening = NIOLockedValueBox(Listening())
    /// The broker ends once; who asks again waits for it.
    private let ending = NIOLockedValueBox<Task<Void, Never>?>(nil)

    /// One event loop, with what is confined to it.
    struct Loop: Sendable {
        let loop: any EventLoop
        let hub: NIOLoopBound<Hub>
        let door: NIOLoopBound<NativeDoor>
        let connections: NIOLoopBoundBox<[ObjectIdentifier: NativeHandler]>
        /// Connections whose TLS handshake is not done.
        let handshaking: NIOLoopBoundBox<[ObjectIdentifier: any Channel]>
    }

    /// Threads for catch-up pages, and threads for queries: a query never delays a subscriber.
    private static let readerThreads = 2
    private static let queryThreads = 2
    /// Threads that check passwords: they may take half of the cores, so that who is logged in is served meanwhile.
    private static let loginThreads = max(1, min(2, System.coreCount / 2))

    /// Starts everything but the listeners. The store is the broker's from here on: it closes it.
    package init(store: any LogStore & LogQueries, configuration: Configuration) throws(ApusError) {
        self.configuration = configuration
        self.store = store
        let limits = configuration.limits
        let log = try store.status().log
        let intake = Intake(limits: limits, hubs: configuration.eventLoops)
        let announcer = Announcer(head: store.head)
        let readers = WorkerPool()
        let queryWorkers = WorkerPool()
        let loginWorkers = WorkerPool()
        let logins = Authenticator(
            access: configuration.access, workers: loginWorkers, limits: limits, logger: configuration.logger)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: configuration.eventLoops)
        let admission = Admission(connectionsMax: limits.connectionsMax, loopbackReserve: limits.loopbackReserve)
        let gauges = Gauges()
        let metrics = BrokerMetrics()
        let board = LoopBoard()
        let pages = PageReader(store: store, workers: readers, limits: limits)
        let figures = BrokerFigures(
            metrics: metrics, gauges: gauges, logins: logins, admission: admission, intake: intake, pages: pages,
            board: board, log: store, configuration: configuration)
        let status = StatusReport(figures: figures, cursors: ManagedAtomic(0))
        loops = group.makeIterator().enumerated().map { index, loop in
            Broker.makeLoop(
                index, loop, configuration: configuration, log: log, intake: intake, announcer: announcer,
                pages: pages, queries: store, queryWorkers: queryWorkers, status: status)
        }
        self.metrics = metrics
        self.figures = figures
        self.intake = intake
        self.group = group
        self.readers = readers
        self.queryWorkers = queryWorkers
        self.loginWorkers = loginWorkers
        self.logins = logins
        self.admission = admission
        self.gauges = gauges
        writerEnd = WriterEnd()
        let writer = GroupCommit(
            store: store, intake: intake, announcer: announcer, metrics: metrics, logger: configuration.logger)
        let writerEnd = writerEnd
        startThread("apus-writer") {
            let end = Result { () throws(ApusError) in try writer.run() }
            if case .failure(let error) = end { metrics.health.failed(error) }
            writerEnd.set(end)
        }
        for index in 0..<Broker.readerThreads { startThread("apus-reader-\(index)") { readers.run() } }
        for index in 0..<Broker.queryThreads { startThread("apus-query-\(index)") { queryWorkers.run() } }
        for index in 0..<Broker.loginThreads { startThread("apus-login-\(index)") { loginWorkers.run() } }
    }

    private static func makeLoop(
        _ index: Int, _ loop: any EventLoop, configuration: Configuration, log: String, intake: Intake,
        announcer: Announcer, pages: PageReader, queries: any LogQueries, queryWorkers: WorkerPool,
        status: StatusReport
    ) -> Loop {
        // Made on its loop, because what it makes may be touched only there.
        let made = try? loop.submit {
            let turns = TurnQueue(loop: loop)
            let hub = Hub(
                index: index, loop: loop, limits: configuration.limits, announcer: announcer, readers: pages,
                cursors: status.cursors, publishers: PausedPublishers(hub: index, intake: intake, turns: turns),
                clock: wallClock)
            let door = NativeDoor(
                hub: hub, loop: loop, turns: turns, intake: intake, limits: configuration.limits,
                loops: configuration.eventLoops,
                log: log, defaultTopic: configuration.defaultTopic, queries: queries, queryWorkers: queryWorkers,
                gauges: status.figures.gauges, metrics: status.figures.metrics, logins: status.figures.logins,
                clock: wallClock, gatherFigures: status.figures.board.gather, makeStatus: status.json)
            return Loop(
                loop: loop, hub: NIOLoopBound(hub, eventLoop: loop), door: NIOLoopBound(door, eventLoop: loop),
                connections: NIOLoopBoundBox([:], eventLoop: loop),
                handshaking: NIOLoopBoundBox([:], eventLoop: loop))
        }.wait()
        guard let made else { preconditionFailure("an event loop that was just made is shut down") }
        announcer.add(LoopPort(loop: loop, hub: made.hub))
        status.figures.board.add(loop, made.hub)
        return made
    }

    // MARK: Users

    /// The users were read again: every connection is looked at, on its own event loop. Who is gone is sent away; for
    /// the others their new rights hold at once, and nothing is dropped.
    package func accessChanged() {
        for loop in loops {
            loop.loop.execute { for handler in loop.connections.value.values { handler.accessChanged() } }
        }
    }

    // MARK: Ending

    /// Returns when the writer thread has ended: after ``stop()``, or because the log failed.
    ///
    /// - Throws: why the log failed. Nothing unacknowledged was lost in silence; the process should end.
    package func writerEnded() async throws(ApusError) { try await writerEnd.get() }

    /// Stops accepting, answers what is in flight, says goodbye, checkpoints and closes the log.
    ///
    /// Takes at most `drain-time` and what a checkpoint takes. Asked again, it waits for the same end.
    package func stop() async throws(ApusError) {
        await end { broker in await broker.drainAndClose() }
        try await writerEnd.get()
    }

    private func end(_ work: @escaping @Sendable (Broker) async -> Void) async {
        let task = ending.withLockedValue { ending in
            let task = ending ?? Task { await work(self) }
            ending = task
            return task
        }
        await task.value
    }

    private func drainAndClose() async {
        // Said before anything ends, so that who balances load looks elsewhere.
        metrics.health.stops()
        await closeListeners()
        for loop in loops {
            loop.loop.execute {
                loop.door.value.isStopping = true
                for handler in loop.connections.value.values { handler.stop() }
                // They have been promised nothing yet.
                for channel in loop.handshaking.value.values { channel.close(promise: nil) }
            }
        }
        let deadline = NIODeadline.now() + .seconds(Int64(configuration.limits.drainSeconds))
        while admission.open > 0, NIODeadline.now() < deadline {
            try? await Task.sleep(nanoseconds: 10_000_000)
        }
        if admission.open > 0 {
            configuration.logger.warning(
                "drain-time is up: connections are closed that did not take what is owed to them",
                metadata: ["connections": "\(admission.open)", "drain-time": "\(configuration.limits.drainSeconds)"])
        }
        intake.close()
        // What it says is told by who asked for the end.
        try? await writerEnd.get()
        await closeThreads()
    }

    private func closeThreads() async {
        readers.close()
        queryWorkers.close()
        figures.board.close()
        loginWorkers.close()
        try? await group.shutdownGracefully()
    }

    /// After the log has failed: ends without touching it.
    package func abandon() async {
        await end { broker in
            await broker.closeListeners()
            await broker.closeThreads()
        }
    }
}

/// An event loop's hub, reached by one hop.
private struct LoopPort: HubPort {
    let loop: any EventLoop
    let hub: NIOLoopBound<Hub>

    func post(_ announcement: Announcement) {
        let hub = hub
        loop.execute { hub.value.receive(announcement) }
    }
}

/// How the writer thread ended, for those who wait for it.
private final class WriterEnd: Sendable {
    private struct State {
        var result: Result<Void, ApusError>?
        var waiting: [CheckedContinuation<Result<Void, ApusError>, Never>] = []
    }

    private let state = NIOLockedValueBox(State())

    func set(_ result: Result<Void, ApusError>) {
        let waiting = state.withLockedValue { state in
            state.result = result
            defer { state.waiting = [] }
            return state.waiting
        }
        for continuation in waiting { continuation.resume(returning: result) }
    }

    func get() async throws(ApusError) {
        let result = await withCheckedContinuation { continuation in
            let result = state.withLockedValue { state in
                if state.result == nil { state.waiting.append(continuation) }
                return state.result
            }
            if let result { continuation.resume(returning: result) }
        }
        try result.get()
    }
}

private func startThread(_ name: String, _ body: @escaping @Sendable () -> Void) {
    let thread = Thread(block: body)
    thread.name = name
    thread.start()
}

/// Microseconds since 1970 UTC.
package let wallClock: @Sendable () -> Microseconds = {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Microseconds(time.tv_sec) * 1_000_000 + Microseconds(time.tv_nsec) / 1_000
}
