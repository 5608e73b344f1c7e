import ApusBroker
import ApusModel
import ApusServer
import ApusTesting
import ApusWire
import Testing

@Suite("A named publisher")
struct PublisherTests {
    @Test("is told its last id, and what it sends again is recorded once")
    func deduplicates() async throws {
        let log = try TemporaryLog()
        try await withBroker(try log.open()) { broker in
            let first = try broker.peer()
            #expect(try first.hello { $0.publisher = "p" }.lastID == 0)
            for _ in 1...3 { try first.publish("a", "x") }
            try first.published(through: 3)
            first.close()

            let second = try broker.peer()
            #expect(try second.hello { $0.publisher = "p" }.lastID == 3)
            for _ in 1...5 { try second.publish("a", "x") }
            var runs: [PublishedRun] = []
            repeat { runs.append(try second.published()) } while runs.last?.lastID != 5
            #expect(runs.filter(\.isDuplicate).reduce(0) { $0 + $1.count } == 3)
            #expect(runs.filter(\.isDuplicate).last?.lastID == 3)
            #expect(runs.filter { !$0.isDuplicate }.reduce(0) { $0 + $1.count } == 2)
            #expect(runs.last?.lastSeq == 5)
        }
    }

    @Test("that lost its connection before it read a lasting refusal hears of it when it sends again")
    func hearsOfRefusals() async throws {
        let log = try TemporaryLog()
        func publish(_ peer: ScriptedPeer) throws {
            for (index, topic) in ["a", "$x", "$x", "b", "a", "$x", "a"].enumerated() {
                try peer.send(ScriptedPeer.publish(topic, "x", id: UInt64(index + 1), way: .json))
            }
        }
        for round in 0..<2 {
            try await withBroker(try log.open(topicsMax: 1)) { broker in
                let first = try broker.peer()
                _ = try first.hello { $0.publisher = "p" }
                try publish(first)
                // It reads none of the answers.
                try broker.waitForStatus("head") { $0 >= 3 }
                try first.reset()

                let second = try broker.peer()
                #expect(try second.hello { $0.publisher = "p" }.lastID == 7)
                try publish(second)
                var refused: [UInt64: ApusError.Code] = [:]
                var known: UInt64 = 0
                while known < 3 {
                    switch try second.nextOwed("an answer") {
                    case .published(let run):
                        #expect(run.isDuplicate)
                        known += run.count
                    case .error(let reply):
                        for offset in 0..<reply.count { refused[(reply.id ?? 0) - offset] = reply.error.code }
                    case let frame: throw ScriptedPeer.Unexpected(frame, instead: "an answer")
                    }
                }
                #expect(
                    refused == [2: .notAllowed, 3: .notAllowed, 4: .tooMany, 6: .notAllowed], "round \(round)")
                try broker.waitForStatus("head") { $0 == 3 }
            }
        }
    }

    @Test("without a name ids are not deduplicated")
    func anonymous() async throws {
        try await withBroker { broker in
            for round in Seq(1)...2 {
                let peer = try broker.peer()
                try peer.publish("a", "x")
                #expect(try peer.published().lastSeq == round)
            }
        }
    }

    @Test("is fenced by a second connection of its name, before that one is welcome")
    func isFenced() async throws {
        let log = try TemporaryLog()
        try await withBroker(try log.open()) { broker in
            let first = try broker.peer()
            _ = try first.hello { $0.publisher = "p" }
            try first.publish("a", "x")
            try first.published(through: 1)
            let second = try broker.peer()
            #expect(try second.hello { $0.publisher = "p" }.lastID == 1)
            try first.publish("a", "from the grave")
            #expect(try first.rest().allSatisfy { $0 == "error fenced" })
            try second.send(ScriptedPeer.publish("a", "y", id: 2, way: .json))
            #expect(try second.published().lastSeq == 2)
        }
    }

    /// Refuses its first batch of messages, as a full disk does, and takes what comes afterwards.
    @Test("whose publish was refused for now publishes no more, so that what was recorded is a prefix")
    func keepsThePrefix() async throws {
        let store = GatedStore()
        try await withBroker(store) { broker in
            store.letOneGo()
            let first = try broker.peer()
            _ = try first.hello { $0.publisher = "p" }
            store.inner.setFaults { $0.refusal = ApusError(.storageFull, "the disk is full") }
            try first.publish("a", "1")
            try store.waitForCommit()
            // Behind it in the intake when the disk has room again.
            try first.publish("a", "2")
            try broker.peer().ping()
            store.letOneGo()
            #expect(try first.code() == .storageFull)
            store.inner.setFaults { $0.refusal = nil }
            store.open()
            let rest = try first.rest()
            #expect(rest.allSatisfy { $0.hasPrefix("error") }, "\(rest)")

            let second = try broker.peer()
            let lastID = try second.hello { $0.publisher = "p" }.lastID
            for _ in 1...3 { try second.publish("a", "again") }
            try second.published(through: 3)
            #expect(
                lastID == 0 && store.head == 3, "id 1 was refused, so 2 must not count as recorded: \(lastID ?? 99)")
        }
    }

    @Test("needs ids")
    func needsIDs() async throws {
        try await withBroker { broker in
            let peer = try broker.peer()
            _ = try peer.hello { $0.publisher = "p" }
            try peer.send(json: #"{"topic":"a","content-length":0}"#)
            #expect(try peer.rest() == ["error missing-field"])
        }
    }

    @Test("may send right behind its hello")
    func sendsAtOnce() async throws {
        try await withBroker { broker in
            let peer = try broker.peer(.compact)
            var hello = Hello()
            hello.publisher = "p"
            try peer.send(
                ScriptedPeer.bytes(.hello(hello), .compact) + ScriptedPeer.publish("a", "x", id: 1, way: .compact))
            guard case .welcome? = try peer.next() else {
                Issue.record("no welcome")
                return
            }
            try peer.published(through: 1)
        }
    }
}
