// Stations 1 and 8 of a connection with TLS, between the encryption and the door. Runs on the connection's event loop.
// Bounded by `hello-time` and the outbox.

internal import ApusTLS
internal import NIOCore
internal import NIOSSL
internal import NIOTLS

/// Waits for the handshake, then opens the door; keeps what waits for encryption bounded. Confined to its event loop.
final class TLSEdge: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Makes the door's handler, given the subject of the client's certificate; nil once it has.
    private var makeDoor: ((String?) -> any ChannelHandler)?
    private let failed: (String) -> Void
    private let deadline: NIODeadline
    private var timeout: Scheduled<Void>?
    private let unflushedBytesMax: Int
    private var unflushedBytes = 0
    private var isFlushing = false
    private var owesWritability = false

    /// - Parameters:
    ///   - deadline: of the handshake.
    ///   - outboxBytes: how much may wait to be encrypted.
    ///   - failed: called with the reason where the handshake fails.
    init(
        deadline: NIODeadline, outboxBytes: Int, failed: @escaping (String) -> Void,
        makeDoor: @escaping (String?) -> any ChannelHandler
    ) {
        self.deadline = deadline
        self.makeDoor = makeDoor
        self.failed = failed
        unflushedBytesMax = min(outboxBytes, 64 << 10)
    }

    // MARK: The handshake

    func channelActive(context: ChannelHandlerContext) {
        let channel = context.channel
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        timeout = context.eventLoop.scheduleTask(deadline: deadline) {
            bound.value.fail("the handshake was not done in time (hello-time)")
            channel.close(promise: nil)
        }
        // The door hears of the connection when there is one that it can talk over.
        context.read()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case TLSUserEvent.handshakeCompleted = event { open(context) }
        context.fireUserInboundEventTriggered(event)
    }

    private func open(_ context: ChannelHandlerContext) {
        guard let makeDoor else { return }
        self.makeDoor = nil
        timeout?.cancel()
        let pipeline = context.pipeline.syncOperations
        let certificate = try? pipeline.handler(type: NIOSSLServerHandler.self).peerCertificate
        do {
            try pipeline.addHandler(makeDoor(certificate.flatMap(CertificateName.of)), position: .after(self))
            context.fireChannelActive()
        } catch {
            context.close(promise: nil)
        }
    }

    private func fail(_ reason: String) {
        guard makeDoor != nil else { return }
        makeDoor = nil
        failed(reason)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // The end of the stream without a farewell of TLS: frames say themselves how long they are, so it is an end like
        // any other, and what follows it is told by other events.
        if case NIOSSLError.uncleanShutdown = error { return }
        if makeDoor != nil {
            fail(TLSReason.handshake(error))
            context.close(promise: nil)
        } else {
            context.fireErrorCaught(error)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        timeout?.cancel()
        makeDoor = nil
        context.fireChannelInactive()
    }

    // MARK: Writing

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        unflushedBytes += unwrapOutboundIn(data).readableBytes
        context.write(data, promise: promise)
        // What is not flushed is not encrypted, and what is not encrypted does not count for the channel: without this a
        // cursor would empty the log into memory before the connection says that it is full.
        guard unflushedBytes >= unflushedBytesMax else { return }
        flushAhead(context)
    }

    private func flushAhead(_ context: ChannelHandlerContext) {
        unflushedBytes = 0
        isFlushing = true
        context.flush()
        isFlushing = false
    }

    func flush(context: ChannelHandlerContext) {
        unflushedBytes = 0
        context.flush()
        guard owesWritability else { return }
        owesWritability = false
        context.fireChannelWritabilityChanged()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        // The door is writing, and not prepared to be told that it may go on: it hears of it when it flushes.
        if isFlushing {
            owesWritability = true
        } else {
            context.fireChannelWritabilityChanged()
        }
    }
}
