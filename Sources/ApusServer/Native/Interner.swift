internal import ApusModel
internal import ApusWire
internal import NIOCore

/// Topics and encodings that one event loop has seen lately, so that a publish makes no text of what is known.
/// Confined to its loop; not Sendable. Bounded by `name-cache`.
final class Interner {
    private var topics: [Int: Topic] = [:]
    private var encodings: [Int: Encoding] = [:]
    private let entriesMax: Int
    /// How many look-ups had to make something new.
    private(set) var misses = 0

    init(entriesMax: Int) { self.entriesMax = entriesMax }

    /// - Throws: `invalid-topic`.
    func topic(_ bytes: UnsafeRawBufferPointer) throws(ApusError) -> Topic {
        let hash = Topic.hash(of: bytes)
        if let topic = topics[hash], bytes.holds(topic.bytes) { return topic }
        let topic = try Topic(validating: Array(bytes))
        misses += 1
        guard topic.isCacheable else { return topic }
        if topics.count >= entriesMax { topics.removeAll(keepingCapacity: true) }
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
        if encodings.count >= entriesMax { encodings.removeAll(keepingCapacity: true) }
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
