import ApusModel
import ApusServer
import ApusTesting
import ApusWire
import Testing

@Suite("Several event loops")
struct LoopsTests {
    @Test("have one order: every subscriber gets everything, in the order of the log and of each publisher")
    func oneOrder() async throws {
        let log = try TemporaryLog()
        try await withBroker(try log.open(), configuration: .with { $0.eventLoops = 3 }) { broker in
            let (publishers, count) = (6, 300)
            let subscribers = try (0..<5).map { index in
                let peer = try broker.peer(index.isMultiple(of: 2) ? .compact : .json)
                try peer.subscribe("#", from: index < 3 ? .now : .start)
                try peer.subscribed()
                return peer
            }
            let peers = try (0..<publishers).map { _ in try broker.peer(.compact) }
            for index in 0..<count {
                for (number, peer) in peers.enumerated() { try peer.publish("p/\(number)", "\(number):\(index)") }
            }
            for peer in peers { try peer.published(through: UInt64(count)) }
            // One that begins when all is over reads the same.
            let late = try broker.peer()
            try late.subscribe("#", from: .start)
            try late.subscribed()
            let expected = try (0..<publishers * count).map { _ in try late.message() }
            #expect(expected.map(\.seq) == (1...Seq(publishers * count)).map { $0 })
            for number in 0..<publishers {
                let own = expected.filter { $0.topic == "p/\(number)" }.map(\.payload)
                #expect(own == (0..<count).map { "\(number):\($0)" })
            }
            for subscriber in subscribers {
                let got = try (0..<publishers * count).map { _ in try subscriber.message() }
                #expect(got.map(\.seq) == expected.map(\.seq))
                #expect(got.map(\.payload) == expected.map(\.payload))
            }
        }
    }

    @Test("fence a publisher's name across them")
    func fences() async throws {
        try await withBroker(configuration: .with { $0.eventLoops = 2 }) { broker in
            let peers = try (0..<4).map { _ in try broker.peer() }
            for peer in peers { _ = try peer.hello { $0.publisher = "p" } }
            for peer in peers.dropLast() {
                try peer.publish("a", "x")
                #expect(try peer.rest().allSatisfy { $0 == "error fenced" })
            }
            try peers[3].publish("a", "x")
            try peers[3].published(through: 1)
        }
    }
}
