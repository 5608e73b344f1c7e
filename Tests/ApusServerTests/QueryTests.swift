import ApusModel
import ApusServer
import ApusTesting
import ApusWire
import NIOCore
import Testing

@Suite("Queries over a connection")
struct QueryTests {
    private func withMessages(_ count: Int, _ body: @escaping (TestBroker) throws -> Void) async throws {
        let log = try TemporaryLog()
        try await withBroker(try log.open()) { broker in
            let publisher = try broker.peer(.compact)
            for index in 1...count { try publisher.publish(index.isMultiple(of: 2) ? "even" : "odd", "\(index)") }
            try publisher.published(through: UInt64(count))
            try body(broker)
        }
    }

    /// Row by row until the query's end.
    private func rows(_ peer: ScriptedPeer) throws -> [String] {
        var rows: [String] = []
        while let frame = try peer.next("a row") {
            rows.append(ScriptedPeer.text(frame))
            if case .row = frame { continue }
            break
        }
        return rows
    }

    @Test("of the history give rows in order, and the end", arguments: [Way.json, .compact])
    func history(way: Way) async throws {
        try await withMessages(5) { broker in
            let peer = try broker.peer(way)
            var query = Query(query: 7, select: .history)
            query.filters = [try TopicFilter("odd")]
            try peer.send(.query(query))
            #expect(try rows(peer) == ["row 7 1", "row 7 3", "row 7 5", "end 7 3 complete"])
            query.limit = 2
            try peer.send(.query(query))
            #expect(try rows(peer) == ["row 7 1", "row 7 3", "end 7 2 limit"])
        }
    }

    @Test("give rows as credit comes")
    func credit() async throws {
        try await withMessages(6) { broker in
            let peer = try broker.peer()
            var query = Query(query: 1, select: .history)
            query.credit = 2
            try peer.send(.query(query))
            #expect(try peer.next().map(ScriptedPeer.text) == "row 1 1")
            #expect(try peer.next().map(ScriptedPeer.text) == "row 1 2")
            try peer.ping()
            #expect(!peer.hasInput)
            try peer.send(.credit(Credit(target: .query(1), credit: 4)))
            #expect(try rows(peer) == ["row 1 3", "row 1 4", "row 1 5", "row 1 6", "end 1 6 complete"])
        }
    }

    @Test("may be cancelled, and their number used again")
    func cancel() async throws {
        try await withMessages(4) { broker in
            let peer = try broker.peer()
            var query = Query(query: 1, select: .history)
            query.credit = 1
            try peer.send(.query(query))
            #expect(try peer.next().map(ScriptedPeer.text) == "row 1 1")
            try peer.send(.end(QueryEnd(query: 1, reason: "cancelled")))
            #expect(try peer.next().map(ScriptedPeer.text) == "end 1 0 cancelled")
            query.credit = nil
            try peer.send(.query(query))
            #expect(try rows(peer).last == "end 1 4 complete")
        }
    }

    @Test("for no row of the status ends at once, as others do")
    func statusWithoutRows() async throws {
        // No timer is due meanwhile: what passes then would bring a late answer, too.
        let limits = Limits.with { ($0.helloSeconds, $0.frameTimeoutSeconds, $0.peerTimeoutSeconds) = (999, 999, 999) }
        try await withBroker(limits: limits) { broker in
            let peer = try broker.peer()
            try peer.send(json: #"{"kind":"query","query":1,"select":"status","limit":0}"#)
            guard case .end(let end)? = try peer.next() else { throw WaitedTooLong("the end") }
            #expect(end.count == 0 && end.reason == "limit")
        }
    }

    @Test("of topics and of the status give objects")
    func objects() async throws {
        try await withMessages(3) { broker in
            let peer = try broker.peer()
            try peer.send(.query(Query(query: 1, select: .topics)))
            var topics: [String] = []
            while case .row(let row)? = try peer.next() { topics.append(String(buffer: row.content)) }
            #expect(
                Set(topics) == [
                    #"{"topic":"odd","messages":2,"last-seq":3}"#, #"{"topic":"even","messages":1,"last-seq":2}"#,
                ])
            let status = try broker.status()
            #expect(status["head"] == .integer(3))
            #expect(status["busy-waits"] == .integer(0) && status["wal-pinned-since"] == .null)
            #expect(status["limits"]?["max-queries"] == .integer(4))
        }
    }
}
