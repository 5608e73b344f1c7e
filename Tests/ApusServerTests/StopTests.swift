import ApusModel
import ApusServer
import ApusTesting
import ApusWire
import Testing

@Suite("Stopping")
struct StopTests {
    @Test("answers what is in flight, says goodbye, and then listens no more")
    func inOrder() async throws {
        let store = GatedStore()
        try await withBroker(store, isStoppedByBody: true) { broker in
            let (publisher, subscriber, idle) = (try broker.peer(), try broker.peer(), try broker.peer(.compact))
            try subscriber.subscribe("a")
            try subscriber.subscribed()
            try idle.ping()
            try publisher.publish("a", "x")
            try store.waitForCommit()
            let running = broker.broker
            let stopped = begin { try await running.stop() }
            // The idle one hears goodbye while the publisher still waits for its answer.
            #expect(try idle.rest() == ["goodbye"])
            #expect(!publisher.hasInput)
            store.open()
            #expect(try publisher.rest() == ["published 1 1@1", "goodbye"])
            #expect(try subscriber.rest().last == "goodbye")
            for peer in [publisher, subscriber, idle] { peer.close() }
            try stopped()
            #expect(throws: ScriptedPeer.Failure.self) { try broker.peer() }
        }
    }

    @Test("twice, or from two sides at once, is the same end")
    func twice() async throws {
        try await withBroker(isStoppedByBody: true) { broker in
            let peer = try broker.peer()
            try peer.publish("a", "x")
            _ = try peer.published()
            let running = broker.broker
            let both = [begin { try await running.stop() }, begin { try await running.stop() }]
            #expect(try peer.rest() == ["goodbye"])
            peer.close()
            for stopped in both { try stopped() }
            try block { try await running.stop() }
            try block { await running.abandon() }
        }
    }

    @Test("while a publisher's name is being opened takes a refusal of it that comes later", arguments: [true, false])
    func whileOpening(isRefused: Bool) async throws {
        let store = GatedStore()
        try await withBroker(store, isStoppedByBody: true) { broker in
            let peer = try broker.peer()
            try peer.send(json: #"{"kind":"hello","version":1,"publisher":"p"}"#)
            try store.waitForCommit()
            let running = broker.broker
            let stopped = begin { try await running.stop() }
            // It has heard goodbye, and is still there when the writer answers.
            #expect(try peer.next().map(ScriptedPeer.text) == "goodbye")
            if isRefused { store.inner.setFaults { $0.refusal = ApusError(.tooMany, "too many names") } }
            store.open()
            #expect(try peer.rest().isEmpty)
            try stopped()
        }
    }

    @Test("does not wait for a TLS handshake that somebody does not go on with")
    func handshake() async throws {
        let clock = ContinuousClock()
        try await withBroker(
            limits: .with { ($0.drainSeconds, $0.helloSeconds) = (60, 60) }, configuration: .tls, isStoppedByBody: true
        ) { broker in
            let silent = try ScriptedPeer(broker.addresses[0])
            try broker.waitForStatus("connections") { $0 >= 2 }
            let running = broker.broker
            let began = clock.now
            try block { try await running.stop() }
            #expect(clock.now - began < .seconds(30))
            #expect(try silent.receive(max: 1) == nil)
        }
    }

    @Test("drain-time: waits no longer than that for a peer that does not read")
    func drainTime() async throws {
        let clock = ContinuousClock()
        let began = Watched(clock.now)
        try await withBroker(limits: .with { $0.drainSeconds = 1 }, isStoppedByBody: true) { broker in
            let publisher = try broker.peer(.compact)
            for _ in 1...200 { try publisher.publish("a", String(repeating: "x", count: 50_000)) }
            try publisher.published(through: 200)
            let peer = try broker.peer(receiveBytes: 2_048)
            try peer.subscribe("a", from: .start)
            try peer.subscribed()
            began.change { $0 = clock.now }
            let running = broker.broker
            try block { try await running.stop() }
            try peer.reset()
            #expect(clock.now - began.value < .seconds(10))
        }
    }
}
