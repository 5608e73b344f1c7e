import ApusBroker
import ApusModel
import ApusServer
import ApusTesting
import ApusWire
import Foundation
import NIOCore
import Testing

@Suite("A subscriber that reads slowly")
struct SlowReaderTests {
    private static func payload(_ index: Int) -> String { "\(index) " + String(repeating: "x", count: 1_000) }

    @Test(
        "gets every byte in its order, and nobody else waits for it, with TLS or without",
        arguments: [Way.json, .compact], [false, true])
    func getsEverything(way: Way, isTLS: Bool) async throws {
        let store = MemoryStore()
        try await withBroker(
            store,
            limits: .with {
                $0.outboxBytesMax = 65_536
                $0.tailBytesMax = 262_144
            }, configuration: isTLS ? .tls : .with { _ in }
        ) { broker in
            let count = 8_000
            let (slow, fast) = (try broker.peer(way, receiveBytes: 2_048), try broker.peer(way))
            try slow.subscribe("a")
            try slow.subscribed()
            try fast.subscribe("a")
            try fast.subscribed()
            let publisher = try broker.peer(.compact)
            for first in stride(from: 0, to: count, by: 100) {
                for index in first..<first + 100 { try publisher.publish("a", Self.payload(index)) }
                try publisher.published(through: UInt64(first + 100))
                // A few bytes now and then.
                _ = try slow.read(max: 7)
                for index in first..<first + 100 { #expect(try fast.message().payload == Self.payload(index)) }
            }
            for index in 0..<count {
                let message = try slow.message()
                guard message.payload == Self.payload(index), message.seq == Seq(index + 1) else {
                    Issue.record("message \(index) is \(message.seq): \(message.payload.prefix(20))")
                    return
                }
            }
            #expect(store.pagesRead > 0, "it fell behind the tail and came back")
        }
    }

    @Test(
        "outbox-bytes, tail-bytes: twenty that do not read at all cost next to no memory, with TLS or without",
        .timeLimit(.minutes(2)), arguments: [false, true])
    func costsNoMemory(isTLS: Bool) async throws {
        let log = try TemporaryLog()
        try await withBroker(
            try log.open(),
            limits: .with {
                $0.outboxBytesMax = 65_536
                $0.tailBytesMax = 1 << 20
            }, configuration: isTLS ? .tls : .with { _ in }
        ) { broker in
            let stalled = try (0..<20).map { _ in try broker.peer(receiveBytes: 2_048) }
            for peer in stalled {
                try peer.subscribe("#")
                try peer.subscribed()
            }
            let publisher = try broker.peer(.compact)
            func publish(_ count: Int, from first: Int) throws {
                let payload = String(repeating: "x", count: 10_000)
                for index in first..<first + count {
                    try publisher.publish("a", payload)
                    if index.isMultiple(of: 50) { try publisher.published(through: UInt64(index)) }
                }
            }
            try publish(500, from: 1)
            let before = residentBytes()
            try publish(4_000, from: 501)
            let grown = residentBytes() - before
            // Kept for each of them it would be 800 MB.
            #expect(grown < 200 << 20, "\(grown >> 20) MiB")
            #expect(stalled.allSatisfy { $0.hasInput })
        }
    }

    /// Of this process, from the kernel.
    private func residentBytes() -> Int {
        let text = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8)) ?? ""
        return (text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) * 4_096
    }

    @Test("sees what others see, in either way of writing headers")
    func waysAgree() async throws {
        try await withBroker { broker in
            let (json, compact) = (try broker.peer(.json), try broker.peer(.compact))
            for peer in [json, compact] {
                try peer.subscribe("#", from: .start)
                try peer.subscribed()
            }
            let publisher = try broker.peer()
            try publisher.send(
                json:
                    #"{"topic":"ä/\"b\"","content-type":"text/plain","charset":"utf-16le","byte-order":"big","headers":[["a","1"],["a","\u0001"]],"key":"k\n","retain":true,"content-length":4}"#,
                "\u{0}\u{1}\r\n")
            for peer in [json, compact] {
                guard case .message(let envelope)? = try peer.nextOwed("a message") else {
                    Issue.record("no message")
                    return
                }
                let message = try envelope.message()
                #expect(message.topic == "ä/\"b\"")
                #expect(
                    message.encoding == (try Encoding(contentType: "text/plain", charset: "utf-16le", byteOrder: "big"))
                )
                #expect(message.headers.pairs == [.init("a", "1"), .init("a", "\u{1}")])
                #expect(message.key == "k\n")
                #expect(Array(message.payload.readableBytesView) == [0, 1, 13, 10])
            }
        }
    }

    @Test("a filter that begins with a wildcard shows no topic that begins with a dollar sign")
    func hidesReservedTopics() async throws {
        let store = MemoryStore()
        for topic in ["$SYS/x", "a/x"] { _ = try store.append([.publish(try reserved(topic))]) }
        try await withBroker(store) { broker in
            for (filter, expected) in [
                ("#", ["a/x"]), ("+/x", ["a/x"]), ("$SYS/#", ["$SYS/x"]), ("$SYS/+", ["$SYS/x"]),
            ] {
                let peer = try broker.peer()
                try peer.subscribe(filter, from: .start)
                try peer.closeSending()
                var topics: [String] = []
                while true {
                    let frame = try peer.next("caught-up")
                    if case .message(let envelope)? = frame { topics.append(try envelope.message().topic) }
                    if case .caughtUp? = frame { break }
                }
                #expect(topics == expected, "\(filter)")
            }
        }
    }
}
