import ApusModel
import ApusServer
import ApusTesting
import ApusWire
import NIOCore
import Testing

@Suite("Back-pressure")
struct BackPressureTests {
    /// Publishes on a thread of its own, because the broker makes it wait; then reads the answers.
    private func publish(
        _ address: SocketAddress, count: UInt64, bytes: Int, isTLS: Bool = false, done: Watched<[String]>
    ) {
        onThread {
            do {
                let peer = try ScriptedPeer(address, way: .compact, tls: isTLS ? TLSPipe() : nil)
                let payload = String(repeating: "x", count: bytes)
                for _ in 1...count { try peer.publish("a", payload) }
                try peer.published(through: count)
                done.change { $0.append("done") }
            } catch {
                done.change { $0.append("\(error)") }
            }
        }
    }

    private func uncommitted(_ broker: TestBroker) throws -> Int {
        guard case .integer(let bytes)? = try broker.status()["uncommitted-bytes"] else { return .max }
        return Int(bytes)
    }

    /// What one read turn may bring beyond a limit: a few receive buffers and as much for their arenas.
    private static let turnBytes = 1 << 20

    @Test(
        "uncommitted-bytes: publishers are slowed, not failed, and go on when the log does, with TLS or without",
        arguments: [false, true])
    func uncommittedBytes(isTLS: Bool) async throws {
        let store = GatedStore()
        try await withBroker(
            store, limits: .with { $0.uncommittedBytesMax = 65_536 }, configuration: isTLS ? .tls : .with { _ in }
        ) { broker in
            let done = Watched<[String]>([])
            for _ in 0..<2 { publish(broker.addresses[0], count: 1_000, bytes: 10_000, isTLS: isTLS, done: done) }
            try store.waitForCommit()
            try broker.waitForStatus("uncommitted-bytes") { $0 >= 65_536 }
            // Who does not publish notices nothing.
            let other = try broker.peer()
            for _ in 0..<100 { try other.ping() }
            #expect(try uncommitted(broker) < 65_536 + 2 * Self.turnBytes)
            #expect(done.value.isEmpty)
            store.open()
            try done.wait("all publishes") { $0.count == 2 }
            #expect(done.value == ["done", "done"])
            #expect(store.inner.head == 2_000)
            #expect(try uncommitted(broker) == 0)
        }
    }

    @Test(
        "uncommitted-bytes: a hundred publishers together pass it by one read turn a loop, and then all get on",
        arguments: [1, 2])
    func manyPublishers(loops: Int) async throws {
        let store = GatedStore()
        let bytesMax = 1 << 20
        try await withBroker(
            store, limits: .with { $0.uncommittedBytesMax = bytesMax }, configuration: .with { $0.eventLoops = loops }
        ) { broker in
            let payload = String(repeating: "x", count: 1_000)
            let frames = (UInt64(1)...300).flatMap { ScriptedPeer.publish("a", payload, id: $0, way: .compact) }
            let peers = try (0..<100).map { _ in try broker.peer(.compact, sendBytes: 1 << 20) }
            // All of it is in the kernel's buffers: every publisher has more than a read turn for the broker.
            for peer in peers { #expect(try peer.sendWithoutWaiting(frames) == frames.count) }
            try store.waitForCommit()
            try broker.waitForStatus("uncommitted-bytes") { $0 >= bytesMax }
            let other = try broker.peer()
            for _ in 0..<200 { try other.ping() }
            let bound = bytesMax + Self.turnBytes
            #expect(try uncommitted(broker) < bound, "each would bring \(frames.count) bytes")
            // A commit makes room, and only as many go on as it takes.
            for _ in 0..<5 {
                store.letOneGo()
                try store.waitForCommit()
                for _ in 0..<20 { try other.ping() }
                #expect(try uncommitted(broker) < bound)
            }
            store.open()
            for peer in peers { try peer.published(through: 300) }
            #expect(store.inner.head == 30_000)
            #expect(try uncommitted(broker) == 0)
        }
    }

    @Test("publish-window-bytes: one publisher does not take all the room")
    func publishWindow() async throws {
        let store = GatedStore()
        try await withBroker(store, limits: .with { $0.publishWindowBytes = 65_536 }) { broker in
            let done = Watched<[String]>([])
            publish(broker.addresses[0], count: 1_000, bytes: 10_000, done: done)
            try store.waitForCommit()
            let other = try broker.peer()
            for _ in 0..<100 { try other.ping() }
            #expect(try uncommitted(broker) < 65_536 + Self.turnBytes)
            try other.publish("b", "x")
            store.open()
            try other.published(through: 1)
            try done.wait("all publishes") { $0.count == 1 }
            #expect(done.value == ["done"])
        }
    }

    @Test("receive-bytes: where incomplete frames take too much, the largest goes and the others go on")
    func receiveBudget() async throws {
        let store = MemoryStore()
        try await withBroker(store, limits: .with { $0.receiveBytesMax = 1_500_000 }) { broker in
            let (large, small) = (try broker.peer(.compact), try broker.peer(.compact))
            let largeBytes = ScriptedPeer.publish("a", String(repeating: "x", count: 1_400_000), id: 1, way: .compact)
            let smallBytes = ScriptedPeer.publish("a", String(repeating: "y", count: 450_000), id: 1, way: .compact)
            try large.send(largeBytes[..<700_000])
            try small.send(smallBytes[..<400_000])
            #expect(try large.code() == .receiveBudget)
            #expect(try large.next() == nil)
            try small.send(smallBytes[400_000...])
            try small.published(through: 1)
            #expect(store.head == 1)
        }
    }

    private static let floods: [(name: String, bytes: [UInt8], answer: String)] = [
        ("pings", ScriptedPeer.bytes(.ping, .json), "pong"),
        ("garbage", ScriptedPeer.bytes(json: #"{"kind":"dance"}"#), "error unknown-kind"),
        ("bad subscribes", ScriptedPeer.bytes(json: #"{"kind":"subscribe","subscription":1}"#), "error missing-field"),
        // Two that say different things, because equal refusals become one.
        (
            "bad publishes",
            ScriptedPeer.publish("$x", "", id: nil, way: .json) + ScriptedPeer.publish("$y", "", id: nil, way: .json),
            "error not-allowed"
        ),
    ]

    @Test(
        "replies-bytes, max-answers: who does not read its replies is not read any more, and then gets them all",
        arguments: 0..<floods.count)
    func replies(flood: Int) async throws {
        let (name, frame, answer) = Self.floods[flood]
        try await withBroker(
            limits: .with {
                $0.answersMax = 100
                $0.outboxBytesMax = 65_536
            }
        ) { broker in
            let (peer, other) = (try broker.peer(receiveBytes: 4_096, sendBytes: 65_536), try broker.peer())
            let bytes = Array(repeatElement(frame, count: 1_000).joined())
            var (sent, offset, stalls) = (0, 0, 0)
            while stalls < 30, sent < 64 << 20 {
                let count = try peer.sendWithoutWaiting(Array(bytes[offset...]))
                sent += count
                offset = (offset + count) % bytes.count
                stalls = count == 0 ? stalls + 1 : 0
                // The other one's round trip lets the broker have its turn, and shows that it has one.
                if count == 0 { try other.ping() }
            }
            #expect(stalls == 30, "\(name): the broker goes on reading after \(sent) bytes")
            let answers = sent / frame.count * (name == "bad publishes" ? 2 : 1)
            for index in 0..<answers {
                guard let frame = try peer.next(), ScriptedPeer.text(frame) == answer else {
                    Issue.record("\(name): answer \(index) is missing")
                    return
                }
            }
        }
    }

    @Test(
        "new-names-per-second: who brings names too fast is read more slowly, refused or not", arguments: [true, false])
    func newNames(isRefused: Bool) async throws {
        try await withBroker(limits: .with { $0.newNamesPerSecond = 100 }) { broker in
            let (peer, other) = (try broker.peer(), try broker.peer())
            let header = isRefused ? #","headers":5"# : ""
            for index in 0..<250 {
                try peer.send(json: #"{"topic":"t/\#(index)"\#(header),"level":"none","content-length":0}"#)
            }
            // Behind the next turn, so that the names of this one have been counted.
            try peer.ping()
            let clock = ContinuousClock()
            let others = try clock.measure { for _ in 0..<10 { try other.ping() } }
            let own = try clock.measure {
                try peer.ping()
                try peer.ping()
            }
            #expect(own > .milliseconds(300), "\(own)")
            #expect(others < own, "nobody else is slowed")
        }
    }
}
