internal import ApusModel
internal import NIOCore

/// Messages as comma-separated values (RFC 4180): a header line, CRLF at the end of lines, UTF-8.
struct MessageCSV {
    let reader: PayloadReader

    static let names = [
        "seq", "time", "topic", "content_type", "charset", "content_encoding", "byte_order", "format", "key",
        "publisher", "headers", "size", "text", "base64",
    ]

    static func appendHeader(to out: inout [UInt8]) {
        out += names.joined(separator: ",").utf8
        out += "\r\n".utf8
    }

    func append(_ message: Message, to out: inout [UInt8]) {
        let encoding = message.encoding
        out += "\(message.seq),\(Timestamp.text(message.receivedAt))".utf8
        let headers = message.headers.isEmpty ? nil : message.headers.json.text
        for field in [
            message.topic, encoding.contentType, encoding.charset, encoding.contentEncoding, encoding.byteOrder,
            encoding.format, message.key, message.publisher, headers,
        ] {
            out.append(UInt8(ascii: ","))
            if let field { MessageCSV.appendField(Array(field.utf8), to: &out) }
        }
        out += ",\(message.payload.readableBytes),".utf8
        if case .text(let text) = reader.read(message.payload, encoding), !text.isMalformed, !text.isCut {
            MessageCSV.appendField(text.bytes, to: &out)
            out.append(UInt8(ascii: ","))
        } else {
            out.append(UInt8(ascii: ","))
            message.payload.withUnsafeReadableBytes { Base64.append($0, to: &out) }
        }
        out += "\r\n".utf8
    }

    /// In quotation marks where RFC 4180 asks for them.
    static func appendField(_ field: [UInt8], to out: inout [UInt8]) {
        let quote = UInt8(ascii: "\"")
        let isPlain = field.allSatisfy { $0 != quote && $0 != UInt8(ascii: ",") && $0 != 0x0A && $0 != 0x0D }
        guard !isPlain else {
            out += field
            return
        }
        out.append(quote)
        for byte in field {
            if byte == quote { out.append(quote) }
            out.append(byte)
        }
        out.append(quote)
    }
}
