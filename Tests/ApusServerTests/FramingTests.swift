import ApusModel
import ApusServer
import ApusTesting
import ApusWire
import Testing

@Suite("Frames on a socket")
struct FramingTests {
    private func conversation(_ way: Way) -> [UInt8] {
        var bytes = ScriptedPeer.bytes(.hello(Hello()), way)
        bytes += ScriptedPeer.publish("a/b", "payload", id: 1, way: way)
        bytes += ScriptedPeer.bytes(.ping, way)
        return bytes
    }

    @Test("are read alike wherever the network cuts them", arguments: [Way.json, .compact])
    func cutAnywhere(way: Way) async throws {
        try await withBroker { broker in
            let bytes = conversation(way)
            for cut in 1..<bytes.count {
                let peer = try broker.peer(way)
                try peer.send(bytes[..<cut])
                // The first part is there before the second one is sent: the broker has looked at it.
                if cut.isMultiple(of: 7) { try broker.peer().ping() }
                try peer.send(bytes[cut...])
                var answers = [try peer.next(), try peer.next(), try peer.next()].compactMap { $0 }.map(
                    ScriptedPeer.text)
                answers.sort()
                #expect(answers == ["pong", "published 1 1@\(cut)", "welcome"], "cut at \(cut)")
            }
        }
    }

    @Test("may come a byte at a time", arguments: [Way.json, .compact])
    func byteByByte(way: Way) async throws {
        try await withBroker { broker in
            let peer = try broker.peer(way)
            for byte in conversation(way) { try peer.send([byte]) }
            let answers = [try peer.next(), try peer.next(), try peer.next()].compactMap { $0 }.map(ScriptedPeer.text)
            #expect(Set(answers) == ["welcome", "pong", "published 1 1@1"])
        }
    }

    @Test("may come many in one segment", arguments: [Way.json, .compact])
    func manyAtOnce(way: Way) async throws {
        try await withBroker { broker in
            let peer = try broker.peer(way)
            try peer.send((1...1_000).flatMap { ScriptedPeer.publish("a", "x", id: $0, way: way) })
            try peer.published(through: 1_000)
        }
    }

    private static let faults: [(name: String, bytes: [UInt8], code: ApusError.Code)] = [
        ("an empty header", [0, 0], .malformedFrame),
        ("a browser", Array("GET / HTTP/1.1\r\n\r\n".utf8), .headerTooLarge),
        ("a header of another protocol", [0, 9] + Array("SSH-2.0-x".utf8), .malformedFrame),
        ("no JSON", ScriptedPeer.bytes(json: "{nonsense"), .malformedHeader),
        ("a publish without a length", ScriptedPeer.bytes(json: #"{"topic":"a"}"#), .malformedHeader),
        (
            "a length that is no integer", ScriptedPeer.bytes(json: #"{"topic":"a","content-length":1.5}"#),
            .malformedHeader
        ),
        ("a negative length", ScriptedPeer.bytes(json: #"{"topic":"a","content-length":-1}"#), .malformedHeader),
        ("a field twice", ScriptedPeer.bytes(json: #"{"topic":"a","topic":"b","content-length":0}"#), .duplicateField),
        (
            "a field in two spellings",
            ScriptedPeer.bytes(json: #"{"topic":"a","byteorder":"big","byte-order":"big","content-length":0}"#),
            .duplicateField
        ),
        (
            "JSON that is too deep",
            ScriptedPeer.bytes(json: #"{"headers":"# + String(repeating: "[", count: 1_000) + "}"), .malformedHeader
        ),
        (
            "a content that is too long", ScriptedPeer.bytes(json: #"{"topic":"a","content-length":1001}"#),
            .messageTooLarge
        ),
        (
            "a content of an attacker's length",
            ScriptedPeer.bytes(json: #"{"topic":"a","content-length":9223372036854775807}"#), .messageTooLarge
        ),
        ("a compact content that is too long", [0, 20, 3, 2, 0xFF, 0xFF, 0xFF, 0xFF], .messageTooLarge),
        ("a compact header that is too short", [0, 3, 3, 2, 0], .malformedHeader),
        (
            "a compact topic that ends outside", [0, 16, 3, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF],
            .malformedHeader
        ),
        ("an unknown level", [0, 17, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x61], .malformedHeader),
        ("a header that is too long", [0x10, 0] + Array("{".utf8), .headerTooLarge),
    ]

    @Test("max-header-bytes, max-message-bytes: a fault ends this one connection, and says what it was")
    func faults() async throws {
        try await withBroker(
            limits: .with {
                $0.messageBytesMax = 1_000
                $0.headerBytesMax = 4_000
            }
        ) { broker in
            let other = try broker.peer()
            for fault in Self.faults {
                let peer = try broker.peer()
                try peer.send(fault.bytes)
                let reply = try peer.error()
                #expect(reply.error.code == fault.code, "\(fault.name): \(reply.error)")
                #expect(reply.error.isFatal)
                #expect(try peer.next() == nil, "\(fault.name): the connection goes on")
                try other.ping()
            }
        }
    }

    @Test("a header and a content of just the length allowed are taken")
    func justAllowed() async throws {
        try await withBroker(limits: .with { $0.messageBytesMax = 1_000 }) { broker in
            let peer = try broker.peer()
            try peer.publish("a", String(repeating: "x", count: 1_000))
            try peer.published(through: 1)
        }
    }

    @Test("a fault in one well-formed frame is answered, and the conversation goes on")
    func goesOn() async throws {
        try await withBroker { broker in
            let peer = try broker.peer()
            for (json, code) in [
                (#"{"kind":"dance","content-length":3}"#, .unknownKind),
                (#"{"kind":"subscribe","subscription":1}"#, .missingField),
                (#"{"kind":"subscribe","subscription":1,"filter":"a","durable":"d"}"#, .notSupported),
                (#"{"kind":"subscribe","subscription":-1,"filter":"a"}"#, .invalidField),
                (#"{"topic":"a","ttl":-1,"id":1,"content-length":3}"#, .invalidField),
            ] as [(String, ApusError.Code)] {
                try peer.send(json: json, json.contains("content-length") ? "xyz" : "")
                let reply = try peer.error()
                #expect(reply.error.code == code, "\(json)")
                #expect(!reply.error.isFatal)
            }
            try peer.ping()
        }
    }

    @Test("a reset in the middle of a frame ends that connection only, and leaves nothing behind")
    func reset() async throws {
        let store = MemoryStore()
        try await withBroker(store) { broker in
            let peer = try broker.peer()
            try peer.subscribe("#")
            try peer.subscribed()
            try peer.send(ScriptedPeer.publish("a", "whole", id: 1, way: .json))
            try peer.published(through: 1)
            try peer.send(ScriptedPeer.publish("a", "cut off", id: 2, way: .json).dropLast(3))
            try peer.reset()
            // Only the one that asks is left.
            try broker.waitForStatus("connections") { $0 <= 1 }
            try broker.waitForStatus("cursors") { $0 == 0 }
            #expect(store.head == 1)
        }
    }
}
