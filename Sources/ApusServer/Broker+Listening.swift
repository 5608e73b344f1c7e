internal import ApusBroker
package import ApusModel
internal import Glibc
internal import Logging
internal import NIOConcurrencyHelpers
internal import NIOCore
internal import NIOPosix
internal import NIOSSL

extension Broker {
    /// What is listened on.
    struct Listening: Sendable {
        var listeners: [Listener] = []
        var channels: [any Channel] = []
        var unixSockets: [UnixSocket] = []
    }

    /// Binds every address that is configured.
    ///
    /// - Returns: the addresses bound, with their real ports.
    /// - Throws: `unavailable`, `not-allowed`, `tls-failed` or `usage`, naming the address or the file; then nothing stays
    ///   bound.
    package func listen() async throws(ApusError) -> [BoundAddress] {
        do throws(ApusError) {
            var bound: [BoundAddress] = []
            for listener in try await makeListeners() {
                for address in try listener.configuration.address.resolve() {
                    try refuseAnonymous(listener.configuration, address)
                    if let place = try await bind(address, listener) { bound.append(place) }
                }
            }
            guard !bound.isEmpty else {
                throw ApusError(.unavailable, "there is no address left to listen on", hint: "Name one with --listen.")
            }
            metrics.health.serves()
            return bound
        } catch {
            await closeListeners()
            throw error
        }
    }

    /// All of them before the first is bound: a mistake in the last one's certificate is told before anybody connects.
    private func makeListeners() async throws(ApusError) -> [Listener] {
        let (configuration, gauges) = (configuration, gauges)
        let listeners = try await Broker.offLoop { () throws(ApusError) in
            try configuration.listeners.map { (listener) throws(ApusError) in
                try Listener(
                    listener, limits: configuration.limits, gauges: gauges, logger: configuration.logger)
            }
        }
        listening.withLockedValue { $0.listeners = listeners }
        return listeners
    }

    private func refuseAnonymous(
        _ listener: ListenerConfiguration, _ address: SocketAddress
    ) throws(ApusError) {
        if address.isLoopback || !configuration.access.isOpen { return }
        if listener.authenticates || listener.allowsAnonymous { return }
        throw ApusError(
            .notAllowed, "other machines can reach \(listener.address), and there is no authentication",
            hint: "Listen on 127.0.0.1 or [::1], name users with --users, demand client certificates, or say "
                + "--allow-anonymous if everybody may publish and read.")
    }

    // MARK: Certificates

    /// Reads the certificates of all listeners again.
    ///
    /// - Returns: makes them those of new connections; connections that are open go on. nil where nothing is new.
    /// - Throws: `tls-failed`, naming the file and what is wrong with it.
    package func readTLS() async throws(ApusError) -> (@Sendable () -> Void)? {
        let identities = listening.withLockedValue { $0.listeners.compactMap(\.identity) }
        guard !identities.isEmpty else { return nil }
        let exchanges = try await Broker.offLoop { () throws(ApusError) in
            var exchanges: [@Sendable () -> Void] = []
            for identity in identities {
                if let exchange = try identity.reread() { exchanges.append(exchange) }
            }
            return exchanges
        }
        guard !exchanges.isEmpty else { return nil }
        return { for exchange in exchanges { exchange() } }
    }

    /// Runs what waits for the disk where it keeps nobody from running.
    private static func offLoop<Value: Sendable>(
        _ body: @escaping @Sendable () throws(ApusError) -> Value
    ) async throws(ApusError) -> Value {
        let result = try? await NIOThreadPool.singleton.runIfActive { () -> Result<Value, ApusError> in
            do throws(ApusError) { return .success(try body()) } catch { return .failure(error) }
        }
        guard let result else { throw ApusError(.internalError, "the thread pool for files is not running") }
        return try result.get()
    }

    // MARK: Sockets

    /// - Returns: nil for an IPv6 address that nobody named, on a machine without IPv6.
    private func bind(_ address: SocketAddress, _ listener: Listener) async throws(ApusError) -> BoundAddress? {
        if case .unixDomainSocket = address { return try await bindUnix(address, listener) }
        do {
            let channel = try await bootstrap(listener, address).bind(to: address).get()
            listening.withLockedValue { $0.channels.append(channel) }
            return BoundAddress(address: channel.localAddress ?? address, isTLS: listener.identity != nil)
        } catch {
            if case .v6 = address, listener.configuration.isContentWithIPv4, BindFailure.isLackOfIPv6(error) {
                configuration.logger.notice("this machine has no IPv6: listening on IPv4 only")
                return nil
            }
            throw BindFailure.explain(error, address)
        }
    }

    private func bindUnix(_ address: SocketAddress, _ listener: Listener) async throws(ApusError) -> BoundAddress {
        let socket = try UnixSocket.bind(address.pathname ?? "")
        do {
            let channel = try await bootstrap(listener, address).withBoundSocket(socket.descriptor).get()
            listening.withLockedValue {
                $0.channels.append(channel)
                $0.unixSockets.append(socket)
            }
            return BoundAddress(address: address, isTLS: false)
        } catch {
            // The descriptor is the channel's by now.
            socket.remove()
            throw BindFailure.explain(error, "unix:\(socket.path)", port: nil)
        }
    }

    private func bootstrap(_ listener: Listener, _ address: SocketAddress) -> ServerBootstrap {
        let logger = configuration.logger
        let admission = admission
        let limits = configuration.limits
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 1_024)
            // One at a time, so that the limit on connections holds exactly.
            .serverChannelOption(.maxMessagesPerRead, value: 1)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandlers(
                        AdmissionHandler(admission: admission, connectionsMax: limits.connectionsMax, logger: logger),
                        AcceptBackoffHandler())
                }
            }
            .childChannelOption(.autoRead, value: false)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelOption(
                .writeBufferWaterMark, value: .init(low: limits.outboxBytesMax / 2, high: limits.outboxBytesMax)
            )
            .childChannelInitializer { [self] channel in addConnection(channel, listener) }
        if case .unixDomainSocket = address { return bootstrap }
        let tcp =
            bootstrap
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.socketOption(.so_keepalive), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
        guard case .v6 = address else { return tcp }
        // Each address family has a socket of its own, so that "all interfaces" is the same on every system.
        return tcp.serverChannelOption(
            ChannelOptions.Types.SocketOption(level: .ipv6, name: .ipv6_v6only), value: 1)
    }

    func closeListeners() async {
        let (channels, sockets) = listening.withLockedValue { listening in
            defer { listening = Listening() }
            return (listening.channels, listening.unixSockets)
        }
        // First, so that nobody finds a file behind which nobody listens.
        for socket in sockets { socket.remove() }
        for channel in channels { try? await channel.close().get() }
    }

    // MARK: Connections

    /// Why an accepted connection is closed at once.
    private enum TurnedAway: Error {
        case denied
        case busy
    }

    private func addConnection(_ channel: any Channel, _ listener: Listener) -> EventLoopFuture<Void> {
        let address = channel.remoteAddress.flatMap { IPAddress($0) }
        guard case .unixDomainSocket? = channel.localAddress else {
            let peer = channel.remoteAddress.map { $0.numericHost ?? "\($0)" } ?? "unknown"
            guard channel.remoteAddress != nil else {
                // Reset before it was accepted.
                return channel.eventLoop.makeFailedFuture(TurnedAway.denied)
            }
            return admit(channel, listener, address: address, peer: peer)
        }
        return PeerWatch.user(of: channel).flatMap { [self] user in
            admit(channel, listener, address: nil, peer: user.map { "unix \($0)" } ?? "unix")
        }
    }

    private func admit(
        _ channel: any Channel, _ listener: Listener, address: IPAddress?, peer: String
    ) -> EventLoopFuture<Void> {
        channel.eventLoop.makeCompletedFuture {
            let verdict = listener.gate.admit(
                address, isReserveTouched: admission.isReserveTouched, now: .now())
            switch verdict {
            case .denied:
                listener.denied(peer)
                throw TurnedAway.denied
            case .busy(let error):
                listener.busy(peer, error)
                // Words are for those who can read them: over TLS that would take a handshake first.
                guard listener.identity == nil, admission.refuse(ObjectIdentifier(channel)) else {
                    throw TurnedAway.busy
                }
                gauges.refused(error.code)
                try channel.pipeline.syncOperations.addHandler(RefusalHandler(error))
            case .admitted:
                metrics.connectionsAccepted.add()
                let gate = listener.gate
                channel.closeFuture.whenComplete { _ in gate.left(address) }
                let origin = ConnectionOrigin(
                    listener: listener.configuration, peerAddress: peer, isLocal: address?.isLoopback ?? true)
                if address != nil {
                    PeerWatch.configure(channel, timeoutSeconds: configuration.limits.peerTimeoutSeconds)
                }
                try open(channel, listener, origin)
            }
        }
    }

    private func open(_ channel: any Channel, _ listener: Listener, _ origin: ConnectionOrigin) throws {
        guard let loop = loops.first(where: { $0.loop === channel.eventLoop }) else { return }
        let pipeline = channel.pipeline.syncOperations
        let opened = NIODeadline.now()
        let (configuration, limits) = (configuration, configuration.limits)
        func makeDoor(_ certificateName: String?) -> NativeHandler {
            var origin = origin
            origin.certificateName = certificateName
            let handler = NativeHandler(
                door: loop.door.value, origin: origin, opened: opened, now: .now(), logger: configuration.logger)
            let key = ObjectIdentifier(handler)
            loop.connections.value[key] = handler
            channel.closeFuture.assumeIsolated().whenComplete { _ in loop.connections.value[key] = nil }
            loop.handshaking.value[ObjectIdentifier(channel)] = nil
            return handler
        }
        guard let identity = listener.identity else {
            return try pipeline.addHandlers(PlainPortGuard(), makeDoor(nil))
        }
        let key = ObjectIdentifier(channel)
        loop.handshaking.value[key] = channel
        channel.closeFuture.assumeIsolated().whenComplete { _ in loop.handshaking.value[key] = nil }
        let seconds = Int64(listener.configuration.helloSeconds ?? limits.helloSeconds)
        try pipeline.addHandlers(
            NIOSSLServerHandler(context: identity.context),
            TLSEdge(
                deadline: opened + .seconds(seconds), outboxBytes: limits.outboxBytesMax,
                failed: { listener.handshakeFailed(origin.peerAddress, $0) }, makeDoor: makeDoor))
    }
}
