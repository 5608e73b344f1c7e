internal import ApusModel
internal import ApusWire
internal import NIOCore

/// Publishes as bytes. Remembers the fragments of topics and encodings, because the next message mostly has the same.
struct PublishEncoder {
    private struct Key: Hashable {
        var topic: String
        var encoding: Encoding
    }

    /// Fragments kept; beyond it all of them are forgotten and made again as they are needed.
    private static let fragmentsMax = 1_024

    private var fragments: [Key: EnvelopeFragment] = [:]
    private var last: (key: Key, fragment: EnvelopeFragment)?

    mutating func write(_ message: OutgoingMessage, headers: [UInt8], id: UInt64, into out: inout ByteBuffer) {
        guard let fragment = fragment(message) else { return assertionFailure("topics are checked before") }
        message.payload.withUnsafeReadableBytes { payload in
            headers.withUnsafeBytes { headers in
                PublishEncoder.withKey(message.key) { key in
                    EnvelopeWriter.publish(
                        id: id, level: message.level, retain: message.retain, ttl: message.ttlSeconds,
                        fragment: fragment,
                        content: EnvelopeWriter.Content(headers: headers, key: key, payload: payload), into: &out)
                }
            }
        }
    }

    private static func withKey(_ key: String?, _ body: (UnsafeRawBufferPointer) -> Void) {
        guard var key else { return body(UnsafeRawBufferPointer(start: nil, count: 0)) }
        key.withUTF8 { body(UnsafeRawBufferPointer($0)) }
    }

    private mutating func fragment(_ message: OutgoingMessage) -> EnvelopeFragment? {
        if let last, last.key.topic == message.topic, last.key.encoding == message.encoding { return last.fragment }
        let key = Key(topic: message.topic, encoding: message.encoding)
        if let fragment = fragments[key] {
            last = (key, fragment)
            return fragment
        }
        guard let topic = try? Topic(message.topic) else { return nil }
        let fragment = EnvelopeFragment(topic: topic, encoding: message.encoding, way: .compact)
        if fragments.count >= PublishEncoder.fragmentsMax { fragments.removeAll(keepingCapacity: true) }
        fragments[key] = fragment
        last = (key, fragment)
        return fragment
    }
}
