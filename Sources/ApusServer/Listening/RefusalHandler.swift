internal import ApusModel
internal import ApusWire
internal import NIOCore

/// Tells a peer why it may not come in, and closes: the only handler of a connection that is not admitted.
///
/// It lets the peer read the words: the sending side is shut down, and what comes is dropped until the peer closes, for a
/// bounded time. Confined to its event loop.
final class RefusalHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let error: ApusError
    private var closing: Scheduled<Void>?

    init(_ error: ApusError) { self.error = error }

    func channelActive(context: ChannelHandlerContext) {
        let channel = context.channel
        closing = context.eventLoop.scheduleTask(in: NativeHandler.lingerTime) { channel.close(promise: nil) }
        var words = ByteBuffer()
        FrameWriter.write(.error(ErrorReply(error)), .json, into: &words)
        context.writeAndFlush(wrapOutboundOut(words)).whenComplete { _ in channel.close(mode: .output, promise: nil) }
        context.read()
    }

    func channelReadComplete(context: ChannelHandlerContext) { context.read() }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {}

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case ChannelEvent.inputClosed = event { context.close(promise: nil) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    func channelInactive(context: ChannelHandlerContext) { closing?.cancel() }
}
