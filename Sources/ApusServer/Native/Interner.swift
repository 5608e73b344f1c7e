internal import ApusModel
internal import ApusWire
internal import NIOCore

/// Topics and encodings that one event loop has seen lately, so that a publish makes no text of what is known.
/// Confined to its loop; not Sendable. Bounded by `name-cache` and `name-cache-bytes`, for each of both kinds.
final class Interner {
    private var topics: [Int: Topic] = [:]
    private var encodings: [Int: Encoding] = [:]
    private var topicBytes = 0
    private var encodingBytes = 0
    private let entriesMax: Int
    private let bytesMax: Int
    /// How many look-ups had to make something new.
    private(set) var misses = 0

    init(entriesMax: Int, bytesMax: Int) {
        self.entriesMax = entriesMax
        self.bytesMax = bytesMax
    }

    /// - Throws: `invalid-topic`.
    func topic(_ bytes: UnsafeRawBufferPointer) throws(ApusError) -> Topic {
        let hash = Topic.hash(of: bytes)
        if let topic = topics[hash], bytes.holds(topic.bytes) { return topic }
        let topic = try Topic(validating: Array(bytes))
        misses += 1
        guard topic.isCacheable else { return topic }
        topicBytes += topic.cost
        if topics.count >= entriesMax || topicBytes > bytesMax {
            topics.removeAll(keepingCapacity: true)
            topicBytes = topic.cost
        }
        topics[hash] = topic
        return topic
    }

    /// - Parameter raw: the five fields, each ended by a NUL, which none of them may contain.
    /// - Throws: `invalid-encoding`.
    func encoding(_ raw: [UInt8], _ text: EnvelopeText, _ fields: ByteBuffer) throws(ApusError) -> Encoding {
        let hash = Topic.hash(of: raw)
        if let encoding = encodings[hash], encoding.raw == raw { return encoding }
        for slice in text.encodingSlices {
            let bytes = fields.viewBytes(at: fields.readerIndex + Int(slice.offset), length: Int(slice.length))
            guard String(validating: bytes ?? ByteBuffer().readableBytesView, as: UTF8.self) != nil else {
                throw ApusError(.invalidEncoding, "a field of the encoding is not UTF-8")
            }
        }
        let encoding = try text.encoding(in: fields)
        misses += 1
        encodingBytes += encoding.cost
        if encodings.count >= entriesMax || encodingBytes > bytesMax {
            encodings.removeAll(keepingCapacity: true)
            encodingBytes = encoding.cost
        }
        encodings[hash] = encoding
        return encoding
    }
}

extension EnvelopeText {
    var encodingSlices: [Slice] { [contentType, charset, contentEncoding, byteOrder, format] }

    var declaresEncoding: Bool {
        contentType.length | charset.length | contentEncoding.length | byteOrder.length | format.length != 0
    }
}
