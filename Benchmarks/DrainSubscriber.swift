internal import ApusModel
internal import ApusWire
internal import NIOConcurrencyHelpers
internal import NIOCore
internal import NIOPosix

/// A subscriber that takes frames off its socket and counts them: what a subscription costs the broker, without what
/// a program does with its messages.
final class DrainSubscriber: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let count: NIOLockedValueBox<Int>
    private var rest = ByteBuffer()

    private init(count: NIOLockedValueBox<Int>) { self.count = count }

    /// - Parameter count: the messages received, added to once a read.
    static func connect(port: Int, count: NIOLockedValueBox<Int>) async throws -> any Channel {
        try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(DrainSubscriber(count: count))
                }
            }
            .connect(host: "127.0.0.1", port: port).get()
    }

    func channelActive(context: ChannelHandlerContext) {
        guard let filter = try? TopicFilter("#") else { return }
        var frame = ByteBuffer()
        FrameWriter.write(.subscribe(Subscribe(subscription: 1, filters: [filter])), .compact, into: &frame)
        context.writeAndFlush(wrapOutboundOut(frame), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        if rest.readableBytes > 0 {
            rest.writeBuffer(&bytes)
            swap(&rest, &bytes)
        }
        var messages = 0
        let start = Wire.lengthBytes
        while let header = bytes.getInteger(at: bytes.readerIndex, as: UInt16.self),
            let kind = bytes.getInteger(at: bytes.readerIndex + start, as: UInt8.self),
            let content = bytes.getInteger(at: bytes.readerIndex + start + 2, as: UInt32.self),
            bytes.readableBytes >= start + Int(header) + Int(content)
        {
            bytes.moveReaderIndex(forwardBy: start + Int(header) + Int(content))
            if kind == Kind.message.rawValue { messages += 1 }
        }
        rest = ByteBuffer(bytes: bytes.readableBytesView)
        count.withLockedValue { [messages] in $0 += messages }
    }
}
