import ApusModel
import ApusTesting
import NIOCore
import NIOEmbedded
import Testing

/// The connection ends inside the flush that tells it why, as one does that was reset.
private final class Reset: ChannelOutboundHandler {
    typealias OutboundIn = ByteBuffer

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        promise?.fail(ChannelError.ioOnClosedChannel)
        context.close(promise: nil)
    }
}

@Suite("A connection that ends in the middle of something")
struct SuddenEndTests {
    /// The beginning of a publish of 200,000 bytes.
    private func begin(_ bytes: Int) -> [UInt8] {
        let header = Array(#"{"topic":"a","content-length":200000}"#.utf8)
        return [0, UInt8(header.count)] + header + [UInt8](repeating: 0x78, count: bytes)
    }

    @Test("receive-bytes: gives what it held back once, though it ends while it is told that it holds too much")
    func budget() throws {
        let door = EmbeddedDoor(limits: .with { $0.receiveBytesMax = 150_000 })
        let other = try door.connect()
        try other.send(begin(50_000))
        for _ in 0..<5 {
            let victim = try door.connect()
            try victim.pipeline.syncOperations.addHandler(Reset(), position: .first)
            try victim.send(begin(120_000))
            #expect(!victim.isActive)
        }
        #expect(other.isActive)
        #expect(try other.frames().isEmpty)
        try other.send([UInt8](repeating: 0x78, count: 120_000))
        let frames = try other.frames()
        #expect(frames.count == 1 && frames.allSatisfy { $0.contains("receive-budget") }, "\(frames)")
    }

    @Test("A connection whose handshake is done when the broker stops already is sent away at once")
    func late() throws {
        let door = EmbeddedDoor()
        let early = try door.connect()
        door.stop()
        let late = try door.connect()
        #expect(try late.frames() == ["goodbye"])
        try late.send(begin(0))
        #expect(try early.frames().isEmpty, "those that were there are told by the broker")
    }
}
