import ApusModel
import ApusServer
import ApusTesting
import ApusWire
import NIOCore
import Testing

@Suite("Limits of a connection")
struct LimitTests {
    @Test("max-connections: the next one waits in the backlog, and is served when one leaves")
    func connections() async throws {
        try await withBroker(limits: .with { $0.connectionsMax = 2 }) { broker in
            let (first, second) = (try broker.peer(), try broker.peer())
            try first.ping()
            try second.ping()
            let third = try broker.peer()
            try third.send(.ping)
            for _ in 0..<50 { try first.ping() }
            #expect(!third.hasInput, "it is connected, and not accepted")
            second.close()
            guard case .pong? = try third.next() else {
                Issue.record("it is not served")
                return
            }
            // And again, so that it was no accident of the first time.
            let fourth = try broker.peer()
            try fourth.send(.ping)
            for _ in 0..<50 { try first.ping() }
            #expect(!fourth.hasInput)
            try third.reset()
            #expect(try fourth.next().map(ScriptedPeer.text) == "pong")
        }
    }

    @Test("keep-alive: a peer that is silent for too long is told so, one that pings is not")
    func keepAlive() async throws {
        try await withBroker(limits: .with { $0.keepAliveSeconds = 1 }) { broker in
            let (silent, other) = (try broker.peer(), try broker.peer())
            #expect(try other.hello { $0.keepAlive = 100 }.keepAlive == 1)
            #expect(try silent.hello { $0.keepAlive = 1 }.keepAlive == 1)
            while !silent.hasInput { try other.ping() }
            #expect(try silent.rest() == ["error keep-alive-expired"])
            try other.ping()
        }
    }

    @Test("frame-timeout: a frame that is begun and not ended ends the connection")
    func frameTimeout() async throws {
        try await withBroker(limits: .with { $0.frameTimeoutSeconds = 1 }) { broker in
            let (slow, other) = (try broker.peer(), try broker.peer())
            try slow.publish("a", "x")
            try slow.published(through: 1)
            try slow.send(ScriptedPeer.publish("a", "x", id: 2, way: .json).dropLast(1))
            #expect(try slow.rest() == ["error frame-timeout"])
            try other.ping()
        }
    }

    @Test("peer-timeout: one that does not take its last words is closed all the same")
    func peerTimeout() async throws {
        try await withBroker(limits: .with { $0.peerTimeoutSeconds = 1 }) { broker in
            let publisher = try broker.peer(.compact)
            for _ in 1...200 { try publisher.publish("a", String(repeating: "x", count: 50_000)) }
            try publisher.published(through: 200)
            publisher.close()
            let stalled = try broker.peer(receiveBytes: 2_048)
            try stalled.subscribe("a", from: .start)
            try stalled.subscribed()
            try stalled.send([0, 0])
            try broker.waitForStatus("cursors") { $0 == 0 }
            // Only the one that asks is left.
            try broker.waitForStatus("connections") { $0 <= 1 }
        }
    }

    @Test(
        "max-subscriptions, max-filters, max-filter-levels, max-queries, max-headers: beyond them a request is refused")
    func refusals() async throws {
        try await withBroker(
            limits: .with {
                $0.subscriptionsMax = 1
                $0.filtersMax = 2
                $0.filterLevelsMax = 2
                $0.headersMax = 1
                $0.queriesMax = 1
            }
        ) { broker in
            let peer = try broker.peer()
            try peer.subscribe("a", "b", "c")
            #expect(try peer.code() == .tooMany)
            try peer.subscribe("a/b/c")
            #expect(try peer.code() == .invalidFilter)
            try peer.subscribe("a/b", "c")
            try peer.subscribed()
            try peer.subscribe("d", number: 2)
            #expect(try peer.code() == .tooMany)
            try peer.send(json: #"{"topic":"a","headers":{"a":"","b":""},"id":1,"content-length":0}"#)
            let reply = try peer.error()
            #expect(reply.error.code == .tooMany)
            #expect(reply.id == 1)
            var query = Query(query: 1, select: .history)
            query.credit = 0
            try peer.send(.query(query))
            query.query = 2
            try peer.send(.query(query))
            let refusal = try peer.error()
            #expect(refusal.error.code == .tooMany)
            #expect(refusal.query == 2)
        }
    }

    @Test("has a test by its name for every limit of the broker core and the edge")
    func names() {
        let here: Set = [
            "max-connections", "max-connections-per-address", "connect-rate", "loopback-reserve", "hello-time",
            "idle-time", "max-header-bytes", "max-message-bytes", "receive-bytes", "frame-timeout", "keep-alive",
            "peer-timeout", "publish-window-bytes", "uncommitted-bytes", "new-names-per-second", "max-answers",
            "max-headers", "batch-bytes", "batch-rows", "tail-bytes", "outbox-bytes", "page-bytes", "pages-bytes",
            "max-subscriptions", "max-filters", "max-filter-levels", "filters-bytes", "max-queries", "replies-bytes",
            "drain-time",
        ]
        let store: Set = [
            "max-topics", "max-encodings", "max-publishers", "publisher-idle", "sync-delay", "busy-timeout",
            "wal-checkpoint", "wal-pause", "wal-limit", "name-cache", "name-cache-bytes",
        ]
        let logins: Set = ["login-queue", "login-delay", "login-records"]
        // In ApusHTTPTests.
        let http: Set = ["http-connections", "http-header-bytes", "http-timeout"]
        let all = here.union(store).union(logins).union(http)
        #expect(Set(Limits.table.map(\.name)) == all, "a new limit wants a test, then its name here")
    }
}
