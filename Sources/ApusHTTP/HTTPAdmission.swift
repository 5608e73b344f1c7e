internal import Logging
internal import NIOCore
internal import NIOExtras

/// Stands in the listening channel: so many connections at a time, and a way to close them all. Confined to the door's
/// one event loop.
///
/// Beyond the limit nothing is accepted, and the kernel's backlog waits. Failing to accept, for want of descriptors, is
/// no reason to stop listening: `AcceptBackoffHandler`, behind this one, tries again later.
final class HTTPAdmission: ChannelDuplexHandler {
    typealias InboundIn = any Channel
    typealias InboundOut = any Channel
    typealias OutboundIn = Never

    private let connectionsMax: Int
    private let logger: Logger
    private var open: [ObjectIdentifier: any Channel] = [:]
    private var isFull = false
    private var hasEnded = false

    init(connectionsMax: Int, logger: Logger) {
        self.connectionsMax = connectionsMax
        self.logger = logger
    }

    func read(context: ChannelHandlerContext) {
        guard open.count >= connectionsMax else { return context.read() }
        isFull = true
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let channel = unwrapInboundIn(data)
        let key = ObjectIdentifier(channel)
        open[key] = channel
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        channel.closeFuture.whenComplete { _ in
            let (handler, context) = bound.value
            handler.closed(key, context)
        }
        context.fireChannelRead(data)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        logger.debug("an HTTP connection cannot be accepted", metadata: ["reason": "\(error)"])
        context.fireErrorCaught(error)
    }

    func channelInactive(context: ChannelHandlerContext) {
        hasEnded = true
        context.fireChannelInactive()
    }

    private func closed(_ key: ObjectIdentifier, _ context: ChannelHandlerContext) {
        open[key] = nil
        guard isFull, !hasEnded else { return }
        isFull = false
        context.read()
    }

    /// Connections without a request end at once, the others with the answer to it, or when the time is up.
    func closeAll(on loop: any EventLoop, within time: TimeAmount) -> EventLoopFuture<Void> {
        let channels = Array(open.values)
        for channel in channels { channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent()) }
        let deadline = loop.scheduleTask(in: time) {
            for channel in channels { channel.close(promise: nil) }
        }
        return EventLoopFuture.whenAllComplete(channels.map(\.closeFuture), on: loop).map { _ in deadline.cancel() }
    }
}
