internal import ApusModel
internal import NIOCore

/// A message as a line of JSON: `text` where the payload is text, else `base64` of the payload as stored.
///
/// Text that is not well-formed, or longer than the reader's bound, comes as `base64`, so that nothing is lost.
struct MessageJSON {
    let reader: PayloadReader

    func append(_ message: Message, to out: inout [UInt8]) {
        out += "{\"seq\":\(message.seq),\"time\":\"\(Timestamp.text(message.receivedAt))\"".utf8
        member("topic", message.topic, to: &out)
        member("content-type", message.encoding.contentType, to: &out)
        member("charset", message.encoding.charset, to: &out)
        member("content-encoding", message.encoding.contentEncoding, to: &out)
        member("byte-order", message.encoding.byteOrder, to: &out)
        member("format", message.encoding.format, to: &out)
        member("key", message.key, to: &out)
        member("publisher", message.publisher, to: &out)
        if !message.headers.isEmpty { out += ",\"headers\":".utf8 + message.headers.json.bytes }
        if message.isRetained { out += ",\"retained\":true".utf8 }
        if message.isRedelivered { out += ",\"redelivered\":true".utf8 }
        out += ",\"size\":\(message.payload.readableBytes)".utf8
        payload(message, to: &out)
        out += "}\n".utf8
    }

    private func member(_ name: StaticString, _ value: String?, to out: inout [UInt8]) {
        guard let value else { return }
        out += ",\"\(name)\":".utf8
        JSON.writeString(value.utf8, into: &out)
    }

    private func payload(_ message: Message, to out: inout [UInt8]) {
        if case .text(let text) = reader.read(message.payload, message.encoding), !text.isCut {
            if !text.isMalformed {
                out += ",\"text\":".utf8
                JSON.writeString(text.bytes, into: &out)
                return
            }
            out += ",\"malformed\":true".utf8
        }
        out += ",\"base64\":\"".utf8
        message.payload.withUnsafeReadableBytes { Base64.append($0, to: &out) }
        out.append(UInt8(ascii: "\""))
    }
}
