import ApusBroker
import ApusModel
import ApusTesting
import ApusWire
import NIOCore
import NIOEmbedded
import NIOPosix
import Testing

@testable import ApusServer

@Suite("A connection's turn")
struct TurnTests {
    private static func bytes(_ count: Int, _ frame: (Int) -> [UInt8]) -> [UInt8] {
        (0..<count).flatMap { frame($0) }
    }

    @Test("has a bounded number of publishes, however many came at once; each turn's go over as one batch")
    func publishes() throws {
        var limits = Limits.defaults
        (limits.publishWindowBytes, limits.uncommittedBytesMax) = (1 << 30, 1 << 30)
        let door = EmbeddedDoor(limits: limits)
        let (flooder, neighbour) = (try door.connect(), try door.connect())
        try flooder.send(
            Self.bytes(100_000) { ScriptedPeer.publish("a", "", id: UInt64($0 + 1), level: .none, way: .compact) })
        var total = 0
        var turns = 0
        while total < 100_000, turns < 1_000 {
            let counts = door.submissions()
            #expect(counts.count == 1 && counts[0] <= Inbound.workMax, "\(counts)")
            total += counts.reduce(0, +)
            turns += 1
            // The neighbour's turn, before the flooder's next one.
            try neighbour.send(ScriptedPeer.bytes(.ping, .compact))
            #expect(try neighbour.frames() == ["pong"])
            #expect(door.submissions().isEmpty, "the flooder goes on only when the loop has looked at its sockets")
            door.turn()
        }
        #expect(total == 100_000)
        #expect(turns == (100_000 + Inbound.workMax - 1) / Inbound.workMax)
    }

    private static let floods: [(name: String, answer: String, each: Int, frames: @Sendable (Int) -> [UInt8])] = [
        ("pings", "pong", 16, { _ in ScriptedPeer.bytes(.ping, .compact) }),
        ("garbage", "error unknown-kind", 16, { _ in ScriptedPeer.bytes(json: #"{"kind":"dance"}"#) }),
        (
            "unsubscribes", "error unknown-subscription", 16,
            { index in
                ScriptedPeer.bytes(.unsubscribe(subscription: UInt32(index)), .compact)
            }
        ),
        (
            "credit", "error unknown-subscription", 16,
            { _ in ScriptedPeer.bytes(json: #"{"kind":"credit","subscription":9,"credit":1}"#) }
        ),
        (
            "subscribes and unsubscribes", "subscribed", 16 + 4 * 2 + 16,
            { _ in
                ScriptedPeer.bytes(json: #"{"kind":"subscribe","subscription":1,"filter":["x/+","+/#"]}"#)
                    + ScriptedPeer.bytes(.unsubscribe(subscription: 1), .json)
            }
        ),
        (
            "queries and their ends", "end", 16 + 16,
            { _ in
                ScriptedPeer.bytes(json: #"{"kind":"query","query":1,"select":"status"}"#)
                    + ScriptedPeer.bytes(.end(QueryEnd(query: 1, reason: "enough")), .json)
            }
        ),
    ]

    @Test("has a bounded number of other frames, by what they cost", arguments: 0..<floods.count)
    func others(flood: Int) throws {
        let (name, answer, each, frames) = Self.floods[flood]
        let door = EmbeddedDoor()
        let (flooder, neighbour) = (try door.connect(), try door.connect())
        let count = name.hasPrefix("queries") ? 10 : 2_000
        try flooder.send(Self.bytes(count, frames))
        let most = Inbound.workMax / each + 1
        var total = 0
        var turns = 0
        while total < count, turns < 1_000 {
            let answers = try flooder.frames().filter { $0.hasPrefix(answer) }.count
            #expect(answers <= most, "\(name): \(answers)")
            total += answers
            turns += 1
            try neighbour.send(ScriptedPeer.bytes(.ping, .compact))
            #expect(try neighbour.frames() == ["pong"])
            door.turn()
        }
        #expect(total == count, "\(name)")
        #expect(turns >= count / most)
    }

    @Test("comes in turn with others that have much to say")
    func roundRobin() throws {
        var limits = Limits.defaults
        (limits.publishWindowBytes, limits.uncommittedBytesMax) = (1 << 30, 1 << 30)
        let door = EmbeddedDoor(limits: limits)
        let flood = Self.bytes(10_000) {
            ScriptedPeer.publish("a", "", id: UInt64($0 + 1), level: .none, way: .compact)
        }
        let channels = try (0..<3).map { _ in try door.connect() }
        for channel in channels { try channel.send(flood) }
        var order: [UInt64] = []
        for _ in 0..<15 {
            while case .batch(let batch) = door.intake.take(timeoutMicroseconds: 0) {
                for case .publish(let submission) in batch.items { order.append(submission.connection.number) }
            }
            door.turn()
        }
        #expect(order.count == 15)
        for start in stride(from: 0, to: 15, by: 3) { #expect(Set(order[start..<start + 3]).count == 3, "\(order)") }
    }

    @Test("of a peer that is gone in the middle of it ends there, and leaves nothing behind")
    func goneInside() async throws {
        try await withBroker { broker in
            let flood = (1..<1_000).flatMap {
                ScriptedPeer.bytes(json: #"{"kind":"subscribe","subscription":\#($0),"filter":"a"}"#)
            }
            for _ in 0..<20 {
                let peer = try broker.peer()
                try peer.send(flood)
                // The broker's answers to it are refused while it still follows the frames.
                peer.close()
            }
            let publisher = try broker.peer()
            try publisher.publish("a", "x")
            #expect(try publisher.published().count == 1)
            try broker.waitForStatus("cursors") { $0 == 0 }
        }
    }

    @Test("that is not over when the peer shuts its side down is finished all the same")
    func endsLater() throws {
        let door = EmbeddedDoor()
        let channel = try door.connect()
        try channel.send(Self.bytes(5_000) { ScriptedPeer.publish("a", "", id: UInt64($0 + 1), way: .compact) })
        channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        var total = 0
        for _ in 0..<5 {
            #expect(try channel.frames() == [])
            total += door.submissions().reduce(0, +)
            door.turn()
        }
        #expect(total == 5_000)
    }

    @Test("is not cut where what waits takes too much memory already: that bound comes first")
    func memoryFirst() throws {
        let door = EmbeddedDoor(limits: .with { $0.receiveBytesMax = 100_000 })
        let frames = Self.bytes(10_000) { ScriptedPeer.publish("a", "", id: UInt64($0 + 1), way: .compact) }
        let (first, second) = (try door.connect(), try door.connect())
        try first.send(frames)
        #expect(door.submissions() == [Inbound.workMax])
        try second.send(frames)
        #expect(door.submissions() == [10_000])
        for _ in 0..<4 { door.turn() }
        #expect(door.submissions().reduce(0, +) == 10_000 - Inbound.workMax)
        try second.send(frames.prefix(19 * 4_000).map { $0 })
        #expect(try second.frames().contains { $0.contains("receive-budget") } == false)
    }

    @Test("leaves the loop to its sockets in between, also where two connections always have more")
    func leavesTheLoop() throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        defer { try? group.syncShutdownGracefully() }
        let loop = group.next()
        let hasRead = Watched(false)
        let server = try ServerBootstrap(group: group)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Reader(hasRead: hasRead))
                }
            }
            .bind(host: "127.0.0.1", port: 0).wait()
        let address = try #require(server.localAddress)
        let pieces = Watched(0)
        try loop.submit {
            let turns = TurnQueue(loop: loop)
            @Sendable func goOn(_ turns: NIOLoopBound<TurnQueue>) {
                pieces.change { $0 += 1 }
                guard !hasRead.value, pieces.value < 1_000_000 else { return }
                turns.value.later { goOn(turns) }
            }
            for _ in 0..<2 { goOn(NIOLoopBound(turns, eventLoop: loop)) }
        }.wait()
        let peer = try ScriptedPeer(address)
        try peer.send([1])
        try hasRead.wait("the neighbour's byte") { $0 }
        #expect(pieces.value < 1_000_000)
        try server.close().wait()
    }
}

/// Says that something has come.
private final class Reader: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private let hasRead: Watched<Bool>

    init(hasRead: Watched<Bool>) { self.hasRead = hasRead }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { hasRead.change { $0 = true } }
}
