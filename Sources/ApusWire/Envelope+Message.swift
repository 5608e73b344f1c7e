package import ApusModel
package import NIOCore

extension EnvelopeText {
    package func text(_ slice: Slice, in fields: ByteBuffer) -> String? {
        slice.isEmpty
            ? nil : fields.getString(at: fields.readerIndex + Int(slice.offset), length: Int(slice.length))
    }

    /// - Throws: `invalid-encoding`.
    package func encoding(in fields: ByteBuffer) throws(ApusError) -> Encoding {
        try Encoding(
            contentType: text(contentType, in: fields), charset: text(charset, in: fields),
            contentEncoding: text(contentEncoding, in: fields), byteOrder: text(byteOrder, in: fields),
            format: text(format, in: fields))
    }

    /// - Throws: `invalid-field`. Not fatal, whatever is wrong: the frame around it is well delimited.
    package func headers(in fields: ByteBuffer) throws(ApusError) -> Headers {
        guard !headers.isEmpty else { return Headers() }
        let json: JSON
        do throws(ApusError) {
            json = try fields.withBytes { bytes throws(ApusError) in
                try JSONParser.parse(UnsafeRawBufferPointer(rebasing: bytes[headers.range]))
            }
        } catch {
            throw ApusError(.invalidField, "the field \"headers\": \(error.message)")
        }
        return try Headers(json: json)
    }
}

extension Envelope {
    /// The message, with all its texts made.
    package func message() throws(ApusError) -> Message {
        Message(
            seq: seq, receivedAt: time, topic: text.text(text.topic, in: fields) ?? "",
            encoding: try text.encoding(in: fields), headers: try text.headers(in: fields),
            key: text.text(text.key, in: fields), payload: content, isRedelivered: isRedelivered,
            isRetained: isRetained, publisher: text.text(text.publisher, in: fields))
    }
}

extension Row {
    /// A row without a seq has only its content.
    init(_ envelope: Envelope) throws(ApusError) {
        self.init(
            query: envelope.subscription, message: envelope.seq == 0 ? nil : try envelope.message(),
            content: envelope.content)
    }
}
