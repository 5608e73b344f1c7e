import ApusModel
import ApusServer
import ApusTesting
import ApusWire
import Testing

@Suite("A peer that shuts its sending side down")
struct HalfCloseTests {
    @Test("gets its answers, then goodbye, then the end", arguments: [Way.json, .compact], [false, true])
    func getsItsAnswers(way: Way, isTLS: Bool) async throws {
        try await withBroker(configuration: isTLS ? .tls : .with { _ in }) { broker in
            let peer = try broker.peer(way)
            for _ in 1...3 { try peer.publish("a", "x") }
            try peer.closeSending()
            try peer.published(through: 3)
            #expect(try peer.rest() == ["goodbye"])
            #expect(peer.hasFarewell == isTLS, "the end is said with TLS, too")
        }
    }

    @Test("that sent nothing gets goodbye and the end")
    func saysNothing() async throws {
        try await withBroker { broker in
            let peer = try broker.peer()
            try peer.closeSending()
            #expect(try peer.rest() == ["goodbye"])
        }
    }

    @Test("keeps its subscriptions, and is pinged because it cannot ping", arguments: [false, true])
    func keepsSubscriptions(isTLS: Bool) async throws {
        try await withBroker(
            limits: .with { $0.keepAliveSeconds = 1 }, configuration: isTLS ? .tls : .with { _ in }
        ) { broker in
            let peer = try broker.peer()
            try peer.subscribe("a")
            try peer.subscribed()
            try peer.closeSending()
            let publisher = try broker.peer()
            try publisher.publish("a", "1")
            #expect(try peer.message().payload == "1")
            while true {
                if case .ping? = try peer.next("a ping") { break }
            }
            try publisher.publish("a", "2")
            #expect(try peer.message().payload == "2")
        }
    }

    @Test("and is gone altogether is found by the ping")
    func isFoundDead() async throws {
        try await withBroker(limits: .with { $0.keepAliveSeconds = 1 }) { broker in
            let peer = try broker.peer()
            try peer.subscribe("a")
            try peer.subscribed()
            peer.close()
            try broker.waitForStatus("cursors") { $0 == 0 }
        }
    }

    @Test(
        "while the broker is not reading from it still has all its publishes recorded and answered",
        arguments: [false, true])
    func isReadToItsEnd(isTLS: Bool) async throws {
        let store = GatedStore()
        try await withBroker(
            store, limits: .with { $0.publishWindowBytes = 1_024 }, configuration: isTLS ? .tls : .with { _ in }
        ) { broker in
            let peer = try broker.peer(.compact)
            // More than one read turn takes, so that the window is full with frames still unread.
            let count: UInt64 = 60
            for _ in 1...count { try peer.publish("a", String(repeating: "x", count: 20_000)) }
            try peer.closeSending()
            try store.waitForCommit()
            store.open()
            try peer.published(through: count)
            #expect(try peer.rest() == ["goodbye"])
            #expect(store.inner.head == count)
        }
    }

    @Test("right behind a hello that names a publisher still has its publishes recorded and answered")
    func whileOpening() async throws {
        let store = GatedStore()
        try await withBroker(store) { broker in
            let peer = try broker.peer()
            var hello = Hello()
            hello.publisher = "p"
            try peer.send(
                ScriptedPeer.bytes(.hello(hello), .json) + ScriptedPeer.publish("a", "x", id: 1, way: .json)
                    + ScriptedPeer.publish("a", "y", id: 2, way: .json))
            try peer.closeSending()
            try store.waitForCommit()
            // The broker has seen the end by now, or sees it first of all when it goes on.
            try broker.peer().ping()
            store.open()
            #expect(try peer.rest() == ["welcome", "published 2 2@2", "goodbye"])
        }
    }

    @Test("and reads slowly gets everything that is owed to it", arguments: [false, true])
    func readsSlowly(isTLS: Bool) async throws {
        let store = MemoryStore()
        try await withBroker(store, configuration: isTLS ? .tls : .with { _ in }) { broker in
            let publisher = try broker.peer()
            for _ in 1...200 { try publisher.publish("a", String(repeating: "x", count: 50_000)) }
            try publisher.published(through: 200)
            let peer = try broker.peer(receiveBytes: 4_096)
            try peer.send(.query(Query(query: 1, select: .history)))
            try peer.closeSending()
            // Not read until the broker has given all that it has, as far as it can.
            for _ in 0..<20 { try publisher.ping() }
            let rest = try peer.rest()
            #expect(rest.count == 202)
            #expect(rest.suffix(2) == ["end 1 200 complete", "goodbye"])
        }
    }

    @Test("inside a frame is told so", arguments: [false, true])
    func insideAFrame(isTLS: Bool) async throws {
        try await withBroker(configuration: isTLS ? .tls : .with { _ in }) { broker in
            let peer = try broker.peer()
            try peer.publish("a", "x")
            try peer.send(ScriptedPeer.publish("a", "cut off", id: 2, way: .json).dropLast(1))
            try peer.closeSending()
            #expect(try peer.rest() == ["published 1 1@1", "error malformed-frame"])
        }
    }
}
