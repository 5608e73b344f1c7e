internal import ApusModel
internal import ApusWire
internal import NIOCore

/// Messages from what came over the wire. Texts that are the same as the previous message's are not made again: mostly
/// topic and encoding are.
struct EnvelopeDecoder {
    /// What a message costs in memory besides its bytes.
    static let overheadBytes = 256

    private var topicBytes: [UInt8] = []
    private var topic = ""
    /// The five texts of the encoding, as they came.
    private var encodingBytes: [[UInt8]] = Array(repeating: [], count: 5)
    private var encoding = Encoding.undeclared

    /// - Throws: a fatal error where the broker's frame cannot be understood.
    mutating func message(_ envelope: Envelope) throws(ApusError) -> Message {
        let text = envelope.text
        let outcome = envelope.fields.withUnsafeReadableBytes { bytes in
            Result<Void, ApusError> { () throws(ApusError) in
                try setTopic(EnvelopeDecoder.piece(text.topic, of: bytes))
                try setEncoding(text, bytes)
            }
        }
        try outcome.get()
        var message = Message(
            seq: envelope.seq, receivedAt: envelope.time, topic: topic, encoding: encoding, payload: envelope.content,
            isRedelivered: envelope.isRedelivered, isRetained: envelope.isRetained)
        if !text.headers.isEmpty || !text.key.isEmpty { try setRest(envelope, &message) }
        return message
    }

    /// What the message occupies, as ``CreditWindow`` counts it.
    static func cost(_ envelope: Envelope) -> Int {
        envelope.content.readableBytes + envelope.fields.readableBytes + overheadBytes
    }

    private static func piece(_ slice: Slice, of bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: bytes[slice.range])
    }

    private static func isSame(_ bytes: UnsafeRawBufferPointer, _ known: [UInt8]) -> Bool {
        bytes.count == known.count && known.withUnsafeBytes { bytes.elementsEqual($0) }
    }

    private static func string(_ bytes: UnsafeRawBufferPointer) throws(ApusError) -> String {
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw .fatal(.malformedHeader, "the broker sent a text that is not UTF-8")
        }
        return text
    }

    private mutating func setTopic(_ bytes: UnsafeRawBufferPointer) throws(ApusError) {
        guard !EnvelopeDecoder.isSame(bytes, topicBytes) else { return }
        topic = try EnvelopeDecoder.string(bytes)
        topicBytes = Array(bytes)
    }

    private mutating func setEncoding(_ text: EnvelopeText, _ bytes: UnsafeRawBufferPointer) throws(ApusError) {
        func isSame(_ slice: Slice, _ index: Int) -> Bool {
            if slice.isEmpty { return encodingBytes[index].isEmpty }
            return EnvelopeDecoder.isSame(EnvelopeDecoder.piece(slice, of: bytes), encodingBytes[index])
        }
        if isSame(text.contentType, 0), isSame(text.charset, 1), isSame(text.contentEncoding, 2),
            isSame(text.byteOrder, 3), isSame(text.format, 4)
        {
            return
        }
        let slices = [text.contentType, text.charset, text.contentEncoding, text.byteOrder, text.format]
        var texts: [String?] = []
        for slice in slices {
            texts.append(slice.isEmpty ? nil : try EnvelopeDecoder.string(EnvelopeDecoder.piece(slice, of: bytes)))
        }
        encoding = try Encoding(
            contentType: texts[0], charset: texts[1], contentEncoding: texts[2], byteOrder: texts[3],
            format: texts[4])
        encodingBytes = slices.map { Array(EnvelopeDecoder.piece($0, of: bytes)) }
    }

    private func setRest(_ envelope: Envelope, _ message: inout Message) throws(ApusError) {
        let text = envelope.text
        let outcome = envelope.fields.withUnsafeReadableBytes { bytes in
            Result<(Headers, String?), ApusError> { () throws(ApusError) in
                var headers = Headers()
                if !text.headers.isEmpty {
                    headers = try Headers(json: try JSONParser.parse(EnvelopeDecoder.piece(text.headers, of: bytes)))
                }
                let key =
                    text.key.isEmpty ? nil : try EnvelopeDecoder.string(EnvelopeDecoder.piece(text.key, of: bytes))
                return (headers, key)
            }
        }
        (message.headers, message.key) = try outcome.get()
    }
}
