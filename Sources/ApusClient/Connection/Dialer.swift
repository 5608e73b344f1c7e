internal import ApusModel
internal import ApusTLS
internal import Glibc
internal import NIOCore
internal import NIOPosix
internal import NIOSSL

/// The way to a broker: every address of its name, IPv6 and IPv4 side by side (RFC 8305), or a unix socket.
enum Dialer {
    /// Bytes in the channel beyond which it is not written to, and below which it is again.
    private static let waterMark = ChannelOptions.Types.WriteBufferWaterMark(low: 64 << 10, high: 256 << 10)

    /// - Parameters:
    ///   - tls: nil for a plain connection.
    ///   - timeout: for a connection, and for the handshake on it.
    ///   - setUp: makes the channel's handler; runs on the event loop.
    static func dial(
        _ endpoint: Endpoint, _ tls: ClientTLS?, on eventLoop: any EventLoop, timeout: TimeAmount,
        setUp: @escaping @Sendable (any Channel) throws -> Void
    ) -> EventLoopFuture<any Channel> {
        let deadline = NIODeadline.now() + timeout
        let connected = connect(endpoint, on: eventLoop, timeout: timeout, setUp: setUp)
        guard let tls else { return connected }
        // One handshake, over the connection that was chosen.
        return connected.flatMap { tls.handshake($0, until: deadline) }
    }

    private static func connect(
        _ endpoint: Endpoint, on eventLoop: any EventLoop, timeout: TimeAmount,
        setUp: @escaping @Sendable (any Channel) throws -> Void
    ) -> EventLoopFuture<any Channel> {
        let isUnix = endpoint.host == nil
        var bootstrap = ClientBootstrap(group: eventLoop)
            .connectTimeout(timeout)
            .channelOption(.writeBufferWaterMark, value: waterMark)
            // Nothing is read before the connection has been chosen among those that were tried.
            .channelOption(.autoRead, value: false)
            // One read turn takes many messages, and their content is not copied out of it.
            .channelOption(
                .recvAllocator,
                value: AdaptiveRecvByteBufferAllocator(minimum: 4_096, initial: 65_536, maximum: 262_144)
            )
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try setUp(channel) }
            }
        if !isUnix {
            bootstrap = bootstrap.channelOption(.tcpOption(.tcp_nodelay), value: 1)
                .channelOption(.socketOption(.so_keepalive), value: 1)
        }
        switch endpoint.place {
        case .unix(let path): return bootstrap.connect(unixDomainSocketPath: path)
        case .tcp(let host, let port):
            // A numeric address needs no resolver; this also takes the zone of a link-local one (fe80::1%eth0).
            if let address = try? SocketAddress(ipAddress: host, port: port) {
                return bootstrap.connect(to: address)
            }
            return bootstrap.connect(host: host, port: port)
        }
    }

    // MARK: Errors, in words

    /// What was tried, each address with what came of it.
    static func unavailable(_ endpoint: Endpoint, _ error: any Error) -> ApusError {
        var tried = "cannot connect to \(endpoint): "
        var hint = "Is a broker running there? `apus serve` starts one."
        if let failure = error as? NIOConnectionError {
            if failure.connectionErrors.isEmpty {
                tried += "the name \"\(failure.host)\" has no address"
                if let cause = failure.dnsAError ?? failure.dnsAAAAError, let reason = resolverReason(cause) {
                    tried += " (\(reason))"
                }
                hint = "Check the spelling of the host, and the name server."
            } else {
                tried += failure.connectionErrors
                    .map { "\(text($0.target)): \(reason($0.error))" }.joined(separator: "; ")
            }
        } else {
            tried += reason(error)
        }
        return ApusError(.unavailable, tried, hint: hint)
    }

    /// What a port that speaks TLS answers to a frame: type 21, version 3.x.
    static func isTLSAlert(_ bytes: ByteBuffer) -> Bool { bytes.readableBytesView.prefix(2).elementsEqual([21, 3]) }

    static let speaksTLS = ApusError(
        .unavailable, "the broker's port speaks TLS", hint: "Connect with apuss:// instead of apus://.")

    /// - Parameter error: what is wrong with the first frame.
    static func noBroker(_ error: ApusError) -> ApusError {
        ApusError(
            .unavailable, "what answers there is no Apus broker: \(error.message)",
            hint: "Check the port: \(DefaultPort.native) is the broker's own, \(DefaultPort.http) that for HTTP.")
    }

    /// Why an open connection ended.
    static func lost(_ error: (any Error)?) -> ApusError {
        if let error = error as? ApusError { return error }
        guard let error else { return ApusError(.connectionLost, "the broker closed the connection") }
        if let refused = TLSFailure.refusal(error) { return refused }
        return ApusError(.connectionLost, "the connection to the broker broke: \(reason(error))")
    }

    private static func text(_ address: SocketAddress) -> String {
        guard let ip = address.ipAddress, let port = address.port else { return "\(address)" }
        return ip.contains(":") ? "[\(ip)]:\(port)" : "\(ip):\(port)"
    }

    private static func reason(_ error: any Error) -> String {
        switch error {
        case let error as IOError: return String(cString: strerror(error.errnoCode)).lowercased()
        case ChannelError.connectTimeout(let time): return "no answer within \(time.nanoseconds / 1_000_000) ms"
        case NIOSSLError.uncleanShutdown: return "it ended without a farewell of TLS"
        default: return TLSReason.text(error)
        }
    }

    private static func resolverReason(_ error: any Error) -> String? {
        if let error = error as? SocketAddressError, case .unknown = error { return nil }
        return "\(error)"
    }
}
