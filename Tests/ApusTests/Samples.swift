import ApusModel
import NIOCore

@testable import apus

/// Messages to show.
enum Samples {
    static let time: Microseconds = 1_763_885_700_123_456  // 2025-11-23T08:15:00.123456Z

    static func message(
        _ text: String = "hello", topic: String = "a/b", encoding: Encoding = .undeclared, headers: Headers = [:],
        key: String? = nil, publisher: String? = nil
    ) -> Message {
        message(
            bytes: Array(text.utf8), topic: topic, encoding: encoding, headers: headers, key: key, publisher: publisher)
    }

    static func message(
        bytes: [UInt8], topic: String = "a/b", encoding: Encoding = .undeclared, headers: Headers = [:],
        key: String? = nil, publisher: String? = nil
    ) -> Message {
        Message(
            seq: 42, receivedAt: time, topic: topic, encoding: encoding, headers: headers, key: key,
            payload: ByteBuffer(bytes: bytes), publisher: publisher)
    }

    /// What `body` appends, as text.
    static func text(_ body: (inout [UInt8]) -> Void) -> String {
        var out: [UInt8] = []
        body(&out)
        return String(decoding: out, as: UTF8.self)
    }
}
