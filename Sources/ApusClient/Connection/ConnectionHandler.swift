// Stations 1, 2 and 8 on the client's side: bytes to frames and back. Runs on the connection's event loop. Bounded by
// credit inwards, by the channel's water marks outwards.

internal import ApusModel
internal import ApusWire
internal import NIOCore

/// The one handler of a connection's channel. Confined to the event loop.
final class ConnectionHandler: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = Never
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// One frame's content at most. A broker's limit max-message-bytes cannot be larger; nothing is allocated ahead.
    private static let contentBytesMax = 1 << 30

    private var core: ClientCore?
    private var context: ChannelHandlerContext?
    private var reader = FrameReader(
        bounds: FrameReader.Bounds(
            headerBytesMax: Int(UInt16.max), contentBytesMax: ConnectionHandler.contentBytesMax))
    private var decoder = EnvelopeDecoder()
    /// Reused from message to message.
    private var envelope = Envelope(fields: ByteBuffer(), content: ByteBuffer())
    private var error: (any Error)?
    /// Not reading: the connection has not been chosen yet, or the application has enough.
    private var isHeld = true
    private var isReadWanted = false
    /// Nothing has come yet.
    private var isFirst = true

    // MARK: What the core does with it

    /// The connection was chosen: from now on it is read.
    func attach(_ core: ClientCore) {
        self.core = core
        resumeReading()
    }

    func detach() { core = nil }

    var isWritable: Bool { context?.channel.isWritable ?? false }
    var isActive: Bool { context?.channel.isActive ?? false }

    func write(_ bytes: ByteBuffer) {
        context?.write(wrapOutboundOut(bytes), promise: nil)
    }

    /// Writes piece by piece, and tells when the socket has taken each of them.
    func write(
        _ bytes: ByteBuffer, piecesOf bytesMax: Int,
        _ tell: @escaping @Sendable (_ sentBytes: Int, _ totalBytes: Int) -> Void
    ) {
        guard let context else { return }
        let total = bytes.readableBytes
        var rest = bytes
        while rest.readableBytes > 0, let piece = rest.readSlice(length: min(bytesMax, rest.readableBytes)) {
            let sent = total - rest.readableBytes
            let promise = context.eventLoop.makePromise(of: Void.self)
            promise.futureResult.whenSuccess { tell(sent, total) }
            context.write(wrapOutboundOut(piece), promise: promise)
        }
    }

    func flush() { context?.flush() }

    func close() { context?.close(promise: nil) }

    func holdReading() { isHeld = true }

    func resumeReading() {
        isHeld = false
        guard isReadWanted, let context else { return }
        isReadWanted = false
        context.read()
    }

    // MARK: What the channel does

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }
    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func channelActive(context: ChannelHandlerContext) {
        // The channel does not read by itself: it is asked after each turn, unless reading is held.
        read(context: context)
    }

    func read(context: ChannelHandlerContext) {
        if isHeld {
            isReadWanted = true
        } else {
            context.read()
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard core != nil else { return }
        let bytes = unwrapInboundIn(data)
        if isFirst, Dialer.isTLSAlert(bytes) {
            error = Dialer.speaksTLS
            return close()
        }
        isFirst = false
        reader.append(bytes)
        do throws(ApusError) {
            // The core lets go of this handler when a frame ends the connection.
            while let core {
                while try reader.nextMessage(into: &envelope) { try received(envelope, core) }
                guard let frame = try reader.next() else { break }
                switch frame {
                case .message(let envelope): try received(envelope, core)
                case .row(let row): core.received(row)
                default: core.received(frame)
                }
            }
        } catch {
            self.error = reader.framesRead == 0 ? Dialer.noBroker(error) : error
            close()
        }
    }

    private func received(_ envelope: borrowing Envelope, _ core: ClientCore) throws(ApusError) {
        guard let stream = core.stream(for: envelope) else { return }
        stream.stage(
            .message(try decoder.message(envelope)), bytes: EnvelopeDecoder.cost(envelope), seq: envelope.seq)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        // What it refers to would pin the receive buffer.
        (envelope.fields, envelope.content) = (ByteBuffer(), ByteBuffer())
        reader.settle()
        core?.readTurnEnded()
        read(context: context)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { core?.endTurn() }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.error = self.error ?? error
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        core?.connectionLost(Dialer.lost(error))
        core = nil
    }
}
