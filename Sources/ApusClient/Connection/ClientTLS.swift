internal import ApusModel
internal import ApusTLS
internal import NIOCore
internal import NIOSSL
internal import NIOTLS

/// What a client's handshakes are made with: read from the files once.
struct ClientTLS: Sendable {
    private let context: NIOSSLContext
    /// The name that the certificate has to be for; nil: the address.
    private let hostname: String?
    private let endpoint: Endpoint

    /// How long the broker is waited for to take its leave.
    private static let shutdownTime = TimeAmount.seconds(2)

    /// Blocks on the disk.
    ///
    /// - Returns: nil where the endpoint asks for no TLS.
    /// - Throws: `tls-failed`, naming the file; `usage`.
    init?(_ endpoint: Endpoint, _ files: TLSFiles) throws(ApusError) {
        guard endpoint.isTLS, let host = endpoint.host, let port = endpoint.port else { return nil }
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.minimumTLSVersion = .tlsv12
        configuration.shutdownTimeout = ClientTLS.shutdownTime
        if let authorities = files.authorities {
            configuration.trustRoots = .certificates(try PEMFile.certificates(authorities))
        }
        if let certificate = files.certificate {
            configuration.certificateChain = try PEMFile.certificates(certificate).map { .certificate($0) }
            configuration.privateKey = .privateKey(try ClientTLS.key(files.key, certificate))
        } else if let key = files.key {
            throw ApusError(.usage, "there is a key, \(key), and no certificate that it belongs to")
        }
        do {
            context = try NIOSSLContext(configuration: configuration)
        } catch {
            guard let certificate = files.certificate else {
                throw ApusError(
                    .tlsFailed, "the system's authorities cannot be read: \(TLSReason.text(error))",
                    hint: TLSFailure.authorityHint)
            }
            throw ApusError(
                .tlsFailed, "the key \(files.key ?? certificate) does not belong to the certificate \(certificate)")
        }
        // A certificate for an address names the address itself, and SNI is for names only.
        let isNumeric = (try? SocketAddress(ipAddress: host, port: port)) != nil
        hostname = isNumeric ? nil : host.hasSuffix(".") ? String(host.dropLast()) : host
        self.endpoint = endpoint
    }

    private static func key(_ key: String?, _ certificate: String) throws(ApusError) -> NIOSSLPrivateKey {
        if let key { return try PEMFile.privateKey(key).key }
        do {
            return try PEMFile.privateKey(certificate).key
        } catch {
            throw ApusError(
                error.code, "there is no key beside the certificate in \(certificate)",
                hint: "Name the key's file: --cert-key of the commands.")
        }
    }

    /// Agrees on keys with the broker over a connection that is open. Runs on its event loop.
    ///
    /// - Returns: the same channel. Fails with an ``ApusError``; then the channel is closed.
    func handshake(_ channel: any Channel, until deadline: NIODeadline) -> EventLoopFuture<any Channel> {
        let done = channel.eventLoop.makePromise(of: Void.self)
        do {
            try channel.pipeline.syncOperations.addHandlers(
                [
                    NIOSSLClientHandler(context: context, serverHostname: hostname),
                    HandshakeHandler(endpoint, done: done, deadline: deadline),
                ], position: .first)
        } catch {
            done.fail(ApusError(.usage, "\"\(hostname ?? "")\" is no host name that a certificate could be for"))
        }
        return done.futureResult.map { channel }.flatMapErrorThrowing { error in
            channel.close(promise: nil)
            throw error
        }
    }
}

/// Stands behind the encryption until keys are agreed on. Confined to its event loop.
private final class HandshakeHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer

    private let endpoint: Endpoint
    private let deadline: NIODeadline
    private var done: EventLoopPromise<Void>?
    private var timeout: Scheduled<Void>?

    init(_ endpoint: Endpoint, done: EventLoopPromise<Void>, deadline: NIODeadline) {
        self.endpoint = endpoint
        self.done = done
        self.deadline = deadline
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        timeout = context.eventLoop.scheduleTask(deadline: deadline) {
            bound.value.fail(ApusError(.unavailable, "the broker does not answer the TLS handshake"))
        }
        // The channel does not read by itself.
        context.read()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case TLSUserEvent.handshakeCompleted = event, let done else {
            return context.fireUserInboundEventTriggered(event)
        }
        self.done = nil
        timeout?.cancel()
        context.pipeline.syncOperations.removeHandler(self, promise: nil)
        done.succeed(())
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        let certificate = try? context.pipeline.syncOperations.handler(type: NIOSSLClientHandler.self).peerCertificate
        fail(TLSFailure.handshake(error, endpoint, certificate.flatMap { $0 }))
    }

    func channelInactive(context: ChannelHandlerContext) {
        fail(TLSFailure.handshake(BoringSSLError.zeroReturn, endpoint, nil))
        context.fireChannelInactive()
    }

    private func fail(_ error: ApusError) {
        timeout?.cancel()
        done?.fail(error)
        done = nil
    }
}
