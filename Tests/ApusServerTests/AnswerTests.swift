import ApusModel
import ApusServer
import ApusTesting
import ApusWire
import Testing

@Suite("Answers to publishes")
struct AnswerTests {
    @Test("do not block a client that sends everything before it reads anything", arguments: [Way.json, .compact])
    func sendAllThenRead(way: Way) async throws {
        let store = MemoryStore()
        try await withBroker(store) { broker in
            let peer = try broker.peer(way, receiveBytes: 4_096)
            let count: UInt64 = way == .compact ? 100_000 : 20_000
            for first in stride(from: UInt64(1), through: count, by: 500) {
                try peer.send((first..<first + 500).flatMap { ScriptedPeer.publish("a", "x", id: $0, way: way) })
            }
            let frames = try peer.published(through: count)
            #expect(store.head == count)
            #expect(frames < Int(count) / 10, "runs that follow each other are one answer: \(frames)")
        }
    }

    @Test("wait as state while the peer does not read, so that many of them become one")
    func coalesce() async throws {
        let store = GatedStore()
        try await withBroker(store) { broker in
            let peer = try broker.peer(.compact)
            for _ in 1...100 { try peer.publish("a", "x") }
            try store.waitForCommit()
            store.open()
            #expect(try peer.published(through: 100) <= 100)
        }
    }

    @Test("none is never answered")
    func none() async throws {
        let store = MemoryStore()
        try await withBroker(store) { broker in
            let peer = try broker.peer()
            for index in 1...9 { try peer.publish("a", "x", level: index.isMultiple(of: 3) ? .synced : .none) }
            try peer.publish("$not/allowed", "x", level: .none)
            try peer.closeSending()
            _ = try peer.rest()
            #expect(store.head == 9)
        }
    }

    @Test("of none and synced together name only the synced ones")
    func mixed() async throws {
        try await withBroker { broker in
            let peer = try broker.peer()
            try peer.publish("a", "x", level: .none)
            try peer.publish("a", "x")
            try peer.publish("a", "x", level: .none)
            try peer.closeSending()
            #expect(try peer.rest() == ["published 2 1@2", "goodbye"])
        }
    }

    @Test(
        "to publishes without ids come in their order, with the refused one in its place",
        arguments: [#"{"topic":"$x","content-length":0}"#, #"{"topic":"a","ttl":-1,"content-length":0}"#])
    func withoutIDs(refused: String) async throws {
        let store = GatedStore()
        try await withBroker(store) { broker in
            let peer = try broker.peer()
            for _ in 0..<2 { try peer.send(json: #"{"topic":"a","content-length":0}"#) }
            try peer.send(json: refused)
            for _ in 0..<3 { try peer.send(json: #"{"topic":"a","content-length":0}"#) }
            try store.waitForCommit()
            try peer.closeSending()
            store.open()
            var answers: [String] = []
            for text in try peer.rest() where text != "goodbye" {
                if text.hasPrefix("error") {
                    answers.append("refused")
                } else {
                    let count = Int(text.split(separator: " ")[1].prefix { $0 != "@" }) ?? 0
                    answers += Array(repeating: "published", count: count)
                }
            }
            #expect(answers == ["published", "published", "refused", "published", "published", "published"])
        }
    }

    @Test("to what was accepted come before the fatal error that ends the connection")
    func beforeTheEnd() async throws {
        try await withBroker { broker in
            let peer = try broker.peer()
            for _ in 1...3 { try peer.publish("a", "x") }
            try peer.send(ScriptedPeer.publish("a", "x", id: 2, way: .json))
            #expect(try peer.rest() == ["published 3 3@3", "error id-order"])
        }
    }

    @Test("say goodbye behind the last one where the client says goodbye")
    func goodbye() async throws {
        let store = GatedStore()
        try await withBroker(store) { broker in
            let peer = try broker.peer()
            try peer.publish("a", "x")
            try peer.send(.goodbye(reason: nil))
            try store.waitForCommit()
            store.open()
            #expect(try peer.rest() == ["published 1 1@1", "goodbye"])
        }
    }

    @Test("come also to what is published, or opened, after a failed commit: refusals")
    func afterAFailedCommit() async throws {
        let store = MemoryStore()
        store.setFaults { $0.failure = ApusError(.commitUnknown, "the disk is gone", isFatal: true) }
        do {
            try await withBroker(store) { broker in
                let peers = try (0..<3).map { _ in try broker.peer() }
                try peers[0].publish("a", "x")
                #expect(try peers[0].code() == .commitUnknown)
                let running = broker.broker
                _ = try? block { try await running.writerEnded() }
                for _ in 1...3 { try peers[1].publish("a", "x") }
                #expect(try peers[1].rest().allSatisfy { $0 == "error commit-unknown" })
                try peers[2].send(json: #"{"kind":"hello","version":1,"publisher":"p"}"#)
                #expect(try peers[2].rest() == ["error commit-unknown"])
            }
        } catch let error as ApusError {
            #expect(error.code == .commitUnknown)
        }
        #expect(store.head == 0)
    }

    @Test("of a failed commit are refusals, and nothing is acknowledged")
    func failedCommit() async throws {
        let store = MemoryStore()
        store.setFaults { $0.failure = ApusError(.commitUnknown, "the disk is gone") }
        let failure = Watched<ApusError?>(nil)
        do {
            try await withBroker(store) { broker in
                let (one, other) = (try broker.peer(), try broker.peer())
                try one.publish("a", "x")
                #expect(try one.code() == .commitUnknown)
                _ = other
                let running = broker.broker
                do { try block { try await running.writerEnded() } } catch {
                    failure.change { $0 = error as? ApusError }
                }
            }
        } catch let error as ApusError {
            #expect(error.code == .commitUnknown, "stopping says it, too")
        }
        #expect(failure.value?.code == .commitUnknown)
        #expect(store.head == 0)
    }
}
