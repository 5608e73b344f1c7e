internal import ApusBroker
internal import ApusModel
internal import Logging
internal import NIOCore
internal import NIOExtras

/// Stands in the listening channel: so many connections at a time, and a way to close them all. Confined to the door's
/// one event loop.
///
/// Beyond the limit nothing is accepted, and the kernel's backlog waits. So that one address cannot keep all others from
/// asking whether the broker lives, each has a quarter of it at most, and one place in eight is for this machine: who
/// has more is closed at once. Failing to accept, for want of descriptors, is no reason to stop listening:
/// `AcceptBackoffHandler`, behind this one, tries again later.
final class HTTPAdmission: ChannelDuplexHandler {
    typealias InboundIn = any Channel
    typealias InboundOut = any Channel
    typealias OutboundIn = Never

    private let connectionsMax: Int
    private let logger: Logger
    private var open: [ObjectIdentifier: any Channel] = [:]
    /// Of other machines, by who holds the address.
    private var foreign: [IPAddress: Int] = [:]
    private var foreignCount = 0
    private let turnedAway = OnceAMinute()
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
        let address = channel.remoteAddress.flatMap { IPAddress($0) }
        let holder = address?.isLoopback == false ? address?.holder : nil
        if let holder {
            guard foreign[holder, default: 0] < max(1, connectionsMax / 4),
                foreignCount < connectionsMax - connectionsMax / 8
            else { return turnAway(channel, holder) }
            foreign[holder, default: 0] += 1
            foreignCount += 1
        }
        let key = ObjectIdentifier(channel)
        open[key] = channel
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        channel.closeFuture.whenComplete { _ in
            let (handler, context) = bound.value
            handler.closed(key, holder, context)
        }
        context.fireChannelRead(data)
    }

    private func turnAway(_ channel: any Channel, _ holder: IPAddress) {
        channel.close(promise: nil)
        guard let times = turnedAway.happened(now: .now()) else { return }
        logger.notice(
            "HTTP connections are turned away: one address has as many as it may, or all others together have",
            metadata: ["peer": "\(holder)", "times": "\(times)"])
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        logger.debug("an HTTP connection cannot be accepted", metadata: ["reason": "\(error)"])
        context.fireErrorCaught(error)
    }

    func channelInactive(context: ChannelHandlerContext) {
        hasEnded = true
        context.fireChannelInactive()
    }

    private func closed(_ key: ObjectIdentifier, _ holder: IPAddress?, _ context: ChannelHandlerContext) {
        open[key] = nil
        if let holder, let count = foreign[holder] {
            foreign[holder] = count > 1 ? count - 1 : nil
            foreignCount -= 1
        }
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
