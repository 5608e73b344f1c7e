package import ApusModel
internal import HTTPTypes
internal import HummingbirdCore
package import Logging
internal import NIOCore
internal import NIOPosix

/// The HTTP door: listens, hands requests to ``HTTPPages``, writes what they say.
///
/// It has an event loop of its own: writing a page of figures takes no turn from the connections that carry messages,
/// and `/healthz` can tell that one of their loops is stuck, because it does not run on it.
package final class HTTPDoor: Sendable {
    package struct Configuration: Sendable {
        /// A Unix socket cannot be one.
        package var address: ApusModel.BindAddress
        package var limits: Limits
        package var logger: Logger

        package init(address: ApusModel.BindAddress, limits: Limits, logger: Logger) {
            self.address = address
            self.limits = limits
            self.logger = logger
        }
    }

    /// As bound: `http://127.0.0.1:2788`.
    package let url: String
    package let port: Int

    private let group: MultiThreadedEventLoopGroup
    private let listener: any Channel
    private let admission: NIOLoopBound<HTTPAdmission>

    /// How long a stop waits for answers on their way.
    private static let stopTime = TimeAmount.seconds(2)

    private init(group: MultiThreadedEventLoopGroup, listener: any Channel, admission: NIOLoopBound<HTTPAdmission>) {
        self.group = group
        self.listener = listener
        self.admission = admission
        port = listener.localAddress?.port ?? 0
        let host = listener.localAddress?.ipAddress ?? ""
        url = "http://\(host.contains(":") ? "[\(host)]" : host):\(port)"
    }

    // MARK: Starting

    /// Returns when it listens.
    ///
    /// - Throws: `unavailable`, naming the address and what to do.
    package static func start(_ configuration: Configuration, pages: HTTPPages) async throws(ApusError) -> HTTPDoor {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        var failure: ApusError?
        for (host, port) in places(configuration.address) {
            do {
                return try await start(configuration, host: host, port: port, pages: pages, on: group)
            } catch {
                // Of several, the first one tells more: the others stand in for it.
                failure = failure ?? HTTPBindFailure.explain(error, "\(host) port \(port)")
            }
        }
        try? await group.shutdownGracefully()
        throw failure ?? ApusError(.usage, "HTTP is served on HOST:PORT, not on \(configuration.address)")
    }

    /// What to bind, in this order, where one after the other cannot be: all interfaces are one socket for both
    /// families, or where the system has no IPv6, one for IPv4.
    private static func places(_ address: ApusModel.BindAddress) -> [(host: String, port: Int)] {
        guard case .tcp(let host, let port) = address else { return [] }
        return (host.isEmpty ? ["::", "0.0.0.0"] : [host]).map { ($0, port) }
    }

    private static func start(
        _ configuration: Configuration, host: String, port: Int, pages: HTTPPages,
        on group: MultiThreadedEventLoopGroup
    ) async throws -> HTTPDoor {
        let connectionsMax = configuration.limits.httpConnectionsMax
        var logger = configuration.logger
        logger[metadataKey: "door"] = "http"
        let http = http(configuration.limits, pages)
        let loop = group.next()
        let admission = try await loop.submit { [logger] in
            NIOLoopBound(HTTPAdmission(connectionsMax: connectionsMax, logger: logger), eventLoop: loop)
        }.get()
        let listener = try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 128)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            // One at a time, so that the limit on connections holds exactly.
            .serverChannelOption(.maxMessagesPerRead, value: 1)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandlers(admission.value, AcceptBackoffHandler())
                }
            }
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelInitializer { [logger] channel in
                http.setup(channel: channel, logger: logger).map { connection in
                    // One task a connection, of which there are few: its requests are followed one after the other.
                    Task { await http.handle(value: connection, logger: logger) }
                }
            }
            .bind(host: host, port: port).get()
        return HTTPDoor(group: group, listener: listener, admission: admission)
    }

    private static func http(_ limits: Limits, _ pages: HTTPPages) -> HTTP1Channel {
        let bytes = limits.httpHeaderBytesMax
        let seconds = limits.httpTimeoutSeconds
        return HTTP1Channel(
            responder: { request, writer, channel in
                try await answer(request, writer, pages, peerAddress: channel.remoteAddress?.ipAddress ?? "local")
            },
            configuration: HTTP1Channel.Configuration(
                additionalChannelHandlers: [RequestDeadline(seconds: seconds)],
                httpDecoderConfiguration: .init(
                    maxHeaderFieldSize: bytes, maxHeaderListSize: bytes, maxHeaderFieldCount: 128)))
    }

    private static let bodyBytesMax = 64 << 10

    private static func answer(
        _ request: Request, _ writer: consuming ResponseWriter, _ pages: HTTPPages, peerAddress: String
    ) async throws {
        let reply = await pages.reply(
            request.method, path: request.uri.path, authorization: request.headers[.authorization],
            peerAddress: peerAddress)
        var head = reply.head
        // No page wants a body, and a long one is not read to its end for nothing: the connection ends instead.
        let hasLongBody =
            request.headers[.transferEncoding] != nil
            || request.headers[.contentLength].map { Int($0).map { $0 > bodyBytesMax } ?? true } ?? false
        if hasLongBody { head.headerFields[.connection] = "close" }
        if request.method == .head {
            try await writer.writeResponse(head)
        } else {
            try await writer.write(response: head, body: ResponseBody(byteBuffer: ByteBuffer(string: reply.body)))
        }
        if hasLongBody { throw BodyNotWanted() }
    }

    // MARK: Ending

    /// Stops listening, and closes what is open: answers on their way get a moment.
    package func stop() async {
        try? await listener.close().get()
        let (admission, loop) = (admission, listener.eventLoop)
        try? await loop.flatSubmit { admission.value.closeAll(on: loop, within: HTTPDoor.stopTime) }.get()
        try? await group.shutdownGracefully()
    }
}

/// Ends the connection behind the answer to a request with a body.
private struct BodyNotWanted: Error {}
