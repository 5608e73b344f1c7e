internal import ApusModel
internal import NIOCore

/// A peer that the door is to refuse, with the reason.
struct PeerRefusal: Sendable {
    let error: ApusError
}

/// Stands before the door of a port without TLS until the first bytes are there: TLS would look like the beginning of a
/// long frame, and be waited for. Confined to its event loop.
final class PlainPortGuard: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    /// The first bytes, while they may still turn out to be either; a handful.
    private var held: ByteBuffer?

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = held ?? ByteBuffer()
        var arrived = unwrapInboundIn(data)
        bytes.writeBuffer(&arrived)
        held = bytes
        switch ClientHello.begins(bytes.readableBytesView) {
        case nil: break
        case true?:
            held = nil
            context.fireUserInboundEventTriggered(
                PeerRefusal(
                    error: .fatal(
                        .malformedFrame, "this port does not speak TLS",
                        hint: "Connect with apus:// instead of apuss://, or to the broker's port for TLS.")))
            context.pipeline.syncOperations.removeHandler(self, promise: nil)
        case false?:
            letThrough(context)
        }
    }

    private func letThrough(_ context: ChannelHandlerContext) {
        guard let bytes = held else { return }
        held = nil
        context.fireChannelRead(wrapInboundOut(bytes))
        context.pipeline.syncOperations.removeHandler(self, promise: nil)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        guard held != nil else { return context.fireChannelReadComplete() }
        // The door knows of nothing yet, and so asks for nothing.
        context.read()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        // It stays in its place here: one that is removed passes nothing on.
        if let bytes = held, case ChannelEvent.inputClosed = event {
            held = nil
            context.fireChannelRead(wrapInboundOut(bytes))
            context.fireChannelReadComplete()
        }
        context.fireUserInboundEventTriggered(event)
    }
}

enum ClientHello {
    /// type 22, version 3.x, length; type 1, a length of 24 bits, version 3.x
    private static let bytesNeeded = 11

    /// Whether a stream begins with the first message of TLS.
    ///
    /// Eleven bytes that a frame would have to agree with: a header of exactly 5,635 bytes that begins as TLS does, with
    /// two lengths inside that fit each other.
    ///
    /// - Returns: nil where that takes more bytes.
    static func begins(_ bytes: ByteBufferView) -> Bool? {
        let bytes = Array(bytes.prefix(bytesNeeded))
        func agrees(_ index: Int, _ isExpected: (UInt8) -> Bool) -> Bool {
            index >= bytes.count || isExpected(bytes[index])
        }
        guard agrees(0, { $0 == 22 }), agrees(1, { $0 == 3 }), agrees(2, { $0 <= 4 }), agrees(5, { $0 == 1 }),
            agrees(6, { $0 == 0 }), agrees(9, { $0 == 3 }), agrees(10, { $0 <= 4 })
        else { return false }
        guard bytes.count == bytesNeeded else { return nil }
        let record = Int(bytes[3]) << 8 | Int(bytes[4])
        let message = Int(bytes[7]) << 8 | Int(bytes[8])
        // A long hello may go on in the next record.
        return record == message + 4 || (message + 4 > record && record >= 256)
    }
}
