import ApusModel
import ApusServer
import ApusTesting
import ApusWire
import NIOCore
import Testing

@Suite("A client that floods", .serialized)
struct FairnessTests {
    private static let floods: [(name: String, frames: @Sendable (UInt32) -> [UInt8])] = [
        ("pings", { _ in ScriptedPeer.bytes(.ping, .compact) }),
        (
            "subscribes",
            { number in
                ScriptedPeer.bytes(
                    json:
                        #"{"kind":"subscribe","subscription":\#(number),"filter":["x/\#(number)","+/#"],"from":"start"}"#
                )
                    + ScriptedPeer.bytes(.unsubscribe(subscription: number), .json)
            }
        ),
        ("garbage", { _ in ScriptedPeer.bytes(json: #"{"kind":"dance"}"#) }),
        ("bytes that are no frames", { _ in Array("GET / HTTP/1.1\r\n\r\n".utf8) }),
        ("publishes without a reader", { _ in ScriptedPeer.publish("x", "x", id: nil, way: .compact) }),
        ("refused publishes", { _ in ScriptedPeer.publish("$x", "x", id: nil, way: .compact) }),
        (
            "queries",
            { number in
                ScriptedPeer.bytes(json: #"{"kind":"query","query":\#(number),"select":"history","grep":"zzz"}"#)
            }
        ),
    ]

    @Test("delays nobody else", arguments: 0..<floods.count)
    func delaysNobody(flood: Int) async throws {
        try await withBroker(limits: .with { $0.newNamesPerSecond = 1_000 }) { broker in
            let (publisher, subscriber) = (try broker.peer(), try broker.peer(.compact))
            try subscriber.subscribe("mine")
            try subscriber.subscribed()
            // They end with the broker at the latest, when they cannot connect any more.
            let isOver = Watched(false)
            defer { isOver.change { $0 = true } }
            let address = broker.addresses[0]
            for _ in 0..<2 {
                onThread {
                    while !isOver.value { try? Self.flood(address, flood) }
                }
            }
            let duration = try ContinuousClock().measure {
                for index in 1...10 {
                    try publisher.publish("mine", "\(index)")
                    try publisher.published(through: UInt64(index))
                    #expect(try subscriber.message().payload == "\(index)")
                }
            }
            // On a quiet machine it takes less than a second.
            #expect(duration < .seconds(10), "\(Self.floods[flood].name): \(duration)")
        }
    }

    /// As much as the broker takes, never reading; then away without a word.
    private static func flood(_ address: SocketAddress, _ flood: Int) throws {
        let peer = try ScriptedPeer(address)
        let bytes = (UInt32(1)...500).flatMap { floods[flood].frames($0) }
        for _ in 0..<20 {
            var offset = 0
            while offset < bytes.count {
                let count = try peer.sendWithoutWaiting(Array(bytes[offset...]))
                guard count > 0 else { break }
                offset += count
            }
        }
        try peer.reset()
    }
}
