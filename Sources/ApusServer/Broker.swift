package import ApusBroker
package import ApusModel
internal import Atomics
internal import Foundation
package import Logging
internal import NIOConcurrencyHelpers
package import NIOCore
internal import NIOPosix

/// The broker: a store, its writer thread, its readers, its event loops and its listeners, wired together.
package final class Broker: Sendable {
    package struct Configuration: Sendable {
        package var listen = ListenAddress.loopback
        package var limits = Limits.defaults
        /// Event loops. On 2 cores a second one changed nothing in the measurements, so there is one per two cores.
        package var eventLoops = max(1, System.coreCount / 2)
        /// Where a publish without a topic goes; nil refuses it.
        package var defaultTopic: Topic?
        /// Whether addresses that other machines reach may be listened on, although there is no authentication.
        package var allowsAnonymous = false
        /// Who the users are, and what they may do.
        package var access: any AccessControl = OpenAccess()
        package var version = "0"
        package var logger = Logger(label: "apus")

        package init() {}
    }

    private let configuration: Configuration
    private let store: any LogStore
    private let group: MultiThreadedEventLoopGroup
    private let intake: Intake
    private let readers: WorkerPool
    private let queryWorkers: WorkerPool
    private let loginWorkers: WorkerPool
    /// Checks logins, for every door.
    package let logins: Authenticator
    private let loops: [Loop]
    private let admission: Admission
    private let writerEnd: WriterEnd
    private let listeners = NIOLockedValueBox<[any Channel]>([])

    /// One event loop, with what is confined to it.
    private struct Loop: Sendable {
        let loop: any EventLoop
        let hub: NIOLoopBound<Hub>
        let door: NIOLoopBound<NativeDoor>
        let connections: NIOLoopBoundBox<[ObjectIdentifier: NativeHandler]>
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
        let intake = Intake(limits: limits)
        let announcer = Announcer(head: store.head)
        let readers = WorkerPool()
        let queryWorkers = WorkerPool()
        let loginWorkers = WorkerPool()
        let logins = Authenticator(access: configuration.access, workers: loginWorkers, limits: limits)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: configuration.eventLoops)
        let admission = Admission(connectionsMax: limits.connectionsMax)
        let status = StatusReport(
            configuration: configuration, admission: admission, intake: intake, gauges: Gauges(), logins: logins,
            cursors: ManagedAtomic(0))
        let pages = PageReader(store: store, workers: readers, limits: limits)
        loops = group.makeIterator().enumerated().map { index, loop in
            Broker.makeLoop(
                index, loop, configuration: configuration, log: log, intake: intake, announcer: announcer,
                pages: pages, queries: store, queryWorkers: queryWorkers, status: status)
        }
        self.intake = intake
        self.group = group
        self.readers = readers
        self.queryWorkers = queryWorkers
        self.loginWorkers = loginWorkers
        self.logins = logins
        self.admission = admission
        writerEnd = WriterEnd()
        let writer = GroupCommit(store: store, intake: intake, announcer: announcer, logger: configuration.logger)
        let writerEnd = writerEnd
        startThread("apus-writer") { writerEnd.set(Result { () throws(ApusError) in try writer.run() }) }
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
            let hub = Hub(
                index: index, loop: loop, limits: configuration.limits, announcer: announcer, readers: pages,
                cursors: status.cursors, clock: wallClock)
            let door = NativeDoor(
                hub: hub, loop: loop, intake: intake, limits: configuration.limits, loops: configuration.eventLoops,
                log: log, defaultTopic: configuration.defaultTopic, queries: queries, queryWorkers: queryWorkers,
                gauges: status.gauges, logins: status.logins, clock: wallClock, makeStatus: status.json)
            return Loop(
                loop: loop, hub: NIOLoopBound(hub, eventLoop: loop), door: NIOLoopBound(door, eventLoop: loop),
                connections: NIOLoopBoundBox([:], eventLoop: loop))
        }.wait()
        guard let made else { preconditionFailure("an event loop that was just made is shut down") }
        announcer.add(LoopPort(loop: loop, hub: made.hub))
        return made
    }

    // MARK: Listening

    /// Binds every address that is configured.
    ///
    /// - Returns: the addresses bound, with their real ports.
    /// - Throws: `unavailable` or `not-allowed`, naming the address; then nothing stays bound.
    package func listen() async throws(ApusError) -> [SocketAddress] {
        do throws(ApusError) {
            return try await bindAll()
        } catch {
            await closeListeners()
            throw error
        }
    }

    private func bindAll() async throws(ApusError) -> [SocketAddress] {
        var bound: [SocketAddress] = []
        for listen in configuration.listen {
            for address in try listen.resolve() {
                guard address.isLoopback || configuration.allowsAnonymous || !configuration.access.isOpen else {
                    throw ApusError(
                        .notAllowed, "other machines can reach \(listen), and there is no authentication",
                        hint:
                            "Listen on 127.0.0.1 or [::1], name users with --users, or say --allow-anonymous if everybody may publish and read.")
                }
                let channel = try await bind(address, listen)
                listeners.withLockedValue { $0.append(channel) }
                if let local = channel.localAddress { bound.append(local) }
            }
        }
        return bound
    }

    private func bind(_ address: SocketAddress, _ listen: ListenAddress) async throws(ApusError) -> any Channel {
        do {
            return try await bootstrap(address).bind(to: address).get()
        } catch {
            throw BindFailure.explain(error, address)
        }
    }

    private func bootstrap(_ address: SocketAddress) -> ServerBootstrap {
        let logger = configuration.logger
        let admission = admission
        let connectionsMax = configuration.limits.connectionsMax
        var bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 1_024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            // One at a time, so that the limit on connections holds exactly.
            .serverChannelOption(.maxMessagesPerRead, value: 1)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandlers(
                        AdmissionHandler(admission: admission, connectionsMax: connectionsMax, logger: logger),
                        AcceptBackoffHandler())
                }
            }
            .childChannelOption(.autoRead, value: false)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelOption(.socketOption(.so_keepalive), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(
                .writeBufferWaterMark,
                value: .init(
                    low: configuration.limits.outboxBytesMax / 2, high: configuration.limits.outboxBytesMax)
            )
            .childChannelInitializer { [self] channel in addConnection(channel) }
        if case .v6 = address {
            // Each address family has a socket of its own, so that "all interfaces" is the same on every system.
            bootstrap = bootstrap.serverChannelOption(
                ChannelOptions.Types.SocketOption(level: .ipv6, name: .ipv6_v6only), value: 1)
        }
        return bootstrap
    }

    private func addConnection(_ channel: any Channel) -> EventLoopFuture<Void> {
        channel.eventLoop.makeCompletedFuture {
            guard let loop = loops.first(where: { $0.loop === channel.eventLoop }) else { return }
            PeerWatch.configure(channel, timeoutSeconds: configuration.limits.peerTimeoutSeconds)
            let handler = NativeHandler(
                door: loop.door.value, now: .now(), allowsAnonymous: configuration.allowsAnonymous,
                logger: configuration.logger)
            let key = ObjectIdentifier(handler)
            loop.connections.value[key] = handler
            channel.closeFuture.assumeIsolated().whenComplete { _ in loop.connections.value[key] = nil }
            try channel.pipeline.syncOperations.addHandler(handler)
        }
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
    /// Takes at most `drain-time` and what a checkpoint takes.
    package func stop() async throws(ApusError) {
        await closeListeners()
        for loop in loops {
            loop.loop.execute { for handler in loop.connections.value.values { handler.stop() } }
        }
        let deadline = NIODeadline.now() + .seconds(Int64(configuration.limits.drainSeconds))
        while admission.open > 0, NIODeadline.now() < deadline {
            try? await Task.sleep(nanoseconds: 10_000_000)
        }
        intake.close()
        let result = await Result { () async throws(ApusError) in try await writerEnd.get() }
        readers.close()
        queryWorkers.close()
        loginWorkers.close()
        try? await group.shutdownGracefully()
        try result.get()
    }

    /// After the log has failed: ends without touching it.
    package func abandon() async {
        await closeListeners()
        readers.close()
        queryWorkers.close()
        loginWorkers.close()
        try? await group.shutdownGracefully()
    }

    private func closeListeners() async {
        let channels = listeners.withLockedValue { listeners in
            defer { listeners = [] }
            return listeners
        }
        for channel in channels { try? await channel.close().get() }
    }
}

extension Result where Failure == ApusError {
    fileprivate init(_ body: () async throws(ApusError) -> Success) async {
        do throws(ApusError) {
            self = .success(try await body())
        } catch {
            self = .failure(error)
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
