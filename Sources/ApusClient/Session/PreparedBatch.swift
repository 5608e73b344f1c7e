internal import ApusWire
internal import NIOCore

/// What one call of `publish` or `enqueue` hands over: checked and measured on the caller's thread, so that the event
/// loop only counts and copies.
struct PreparedBatch: Sendable {
    /// What the bookkeeping of a message costs besides its bytes.
    static let overheadBytes = 128

    var messages: [OutgoingMessage]
    /// The headers as JSON text, by message; empty where none of them has any.
    var headers: [[UInt8]] = []
    /// All messages together, as `unsentBytesMax` counts them.
    var bytes = 0

    /// - Throws: what the broker would answer to a message that cannot be sent. Nothing has been sent then.
    init(_ messages: [OutgoingMessage], limits: [String: UInt64]) throws(ApusError) {
        let (batch, refused) = PreparedBatch.sorted(messages, limits: limits)
        if let first = refused.min(by: { $0.key < $1.key }) { throw first.value }
        self = batch
    }

    private init() { messages = [] }

    /// What can be sent, and of the others, by their places, what the broker would answer to them.
    static func sorted(
        _ messages: [OutgoingMessage], limits: [String: UInt64]
    ) -> (batch: PreparedBatch, refused: [Int: ApusError]) {
        var batch = PreparedBatch()
        batch.messages.reserveCapacity(messages.count)
        let checker = Checker(limits: limits)
        let hasHeaders = messages.contains { !$0.headers.isEmpty }
        var refused: [Int: ApusError] = [:]
        var checkedTopic: String?
        for (index, message) in messages.enumerated() {
            let headers = message.headers.isEmpty ? [] : message.headers.json.bytes
            do throws(ApusError) {
                if message.topic != checkedTopic {
                    try check(topic: message.topic)
                    checkedTopic = message.topic
                }
                try checker.check(message, headers: headers.count)
                batch.messages.append(message)
                if hasHeaders { batch.headers.append(headers) }
                batch.bytes += cost(message, headers: headers.count)
            } catch {
                refused[index] = error
            }
        }
        return (batch, refused)
    }

    private struct Checker {
        let payloadMax: Int
        let headerMax: Int

        init(limits: [String: UInt64]) {
            payloadMax = Int(clamping: limits["max-message-bytes"] ?? UInt64(UInt32.max))
            headerMax = min(Int(UInt16.max), Int(clamping: limits["max-header-bytes"] ?? UInt64(UInt16.max)))
        }

        func check(_ message: OutgoingMessage, headers: Int) throws(ApusError) {
            let payloadBytes = message.payload.readableBytes
            guard payloadBytes <= payloadMax else {
                throw ApusError(
                    .messageTooLarge,
                    "a payload of \(payloadBytes) bytes, the broker's limit max-message-bytes is \(payloadMax)")
            }
            let headerBytes = PreparedBatch.headerBytes(message, headers: headers)
            guard headerBytes <= headerMax else {
                throw ApusError(
                    .headerTooLarge,
                    "a header of \(headerBytes) bytes (topic, encoding, key and headers), the limit max-header-bytes is \(headerMax)"
                )
            }
        }
    }

    static func cost(_ message: OutgoingMessage, headers: Int) -> Int {
        message.payload.readableBytes + message.topic.utf8.count + headers + (message.key?.utf8.count ?? 0)
            + overheadBytes
    }

    /// Looks at the bytes only; ``Topic`` finds the words where there is a fault.
    private static func check(topic: String) throws(ApusError) {
        let isFine =
            !topic.isEmpty && topic.utf8.count <= Topic.bytesMax
            && !topic.utf8.contains { $0 == 0 || $0 == UInt8(ascii: "+") || $0 == UInt8(ascii: "#") }
        if !isFine { _ = try Topic(topic) }
    }

    private static func headerBytes(_ message: OutgoingMessage, headers: Int) -> Int {
        func property(_ text: String?) -> Int {
            guard let count = text?.utf8.count, count > 0 else { return 0 }
            return Wire.propertyPrefixBytes + count
        }
        let encoding = message.encoding
        return Wire.compactPrefixBytes + 8 + 2 + message.topic.utf8.count + property(encoding.contentType)
            + property(encoding.charset) + property(encoding.contentEncoding) + property(encoding.byteOrder)
            + property(encoding.format) + property(message.key) + (headers > 0 ? Wire.propertyPrefixBytes + headers : 0)
            + (message.ttlSeconds > 0 ? Wire.propertyPrefixBytes + 8 : 0)
    }
}
