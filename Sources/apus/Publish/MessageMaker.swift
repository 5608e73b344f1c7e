internal import ApusClient
internal import ApusModel
internal import NIOCore

/// What `pub` was told to declare, and what it does to payloads because of that.
struct Declaration: Sendable {
    /// For payloads that are bytes.
    let encoding: Encoding
    /// For what is given as text: what is not declared is filled in.
    let textEncoding: Encoding
    /// Whether records are looked at: not where they are declared to be something else than text as it is.
    private let mayBeText: Bool
    let headers: Headers
    let key: String?
    private let compression: String?

    init(_ encoding: Encoding, headers: Headers = [:], key: String? = nil, compresses: Bool = true) throws(ApusError) {
        self.encoding = encoding
        self.headers = headers
        self.key = key
        let isBinary = PayloadReader.Declared(encoding.mediaType) == .binary
        textEncoding =
            isBinary
            ? encoding
            : try Encoding(
                contentType: encoding.contentType ?? "text/plain",
                charset: encoding.charset ?? (encoding.textCharset == nil ? "utf-8" : nil),
                contentEncoding: encoding.contentEncoding, byteOrder: encoding.byteOrder, format: encoding.format)
        let declared = encoding.compression
        compression = compresses ? declared.flatMap { Compression.isKnown($0) ? $0 : nil } : nil
        // What somebody else has compressed is not text before it is inflated.
        mayBeText = !isBinary && (declared == nil || compression != nil)
    }

    /// Whether a record is text: it is by its bytes, or by what is declared, and then it has to be.
    func isText(_ record: ByteBuffer) -> Bool {
        guard mayBeText else { return false }
        return encoding.textCharset != nil || Declaration.isUTF8(record)
    }

    private static func isUTF8(_ bytes: ByteBuffer) -> Bool {
        bytes.withUnsafeReadableBytes { bytes in
            bytes.allSatisfy { $0 < 0x80 } || String(validating: bytes, as: UTF8.self) != nil
        }
    }

    /// - Parameter text: UTF-8.
    /// - Throws: `invalid-encoding`, naming the character that the charset does not have.
    func text(_ text: ByteBuffer, _ encoding: Encoding) throws(ApusError) -> ByteBuffer {
        guard let charset = encoding.textCharset else { return try bytes(text) }
        let encoded = try TextEncoder.encode(
            Array(text.readableBytesView), to: charset, byteOrder: encoding.byteOrder)
        return try bytes(ByteBuffer(bytes: encoded))
    }

    func bytes(_ payload: ByteBuffer) throws(ApusError) -> ByteBuffer {
        guard let compression else { return payload }
        return try Compression.deflate(payload, compression)
    }
}

/// Makes messages of payloads.
struct MessageMaker: Sendable {
    let topic: String
    let declaration: Declaration
    let level: AckLevel
    let ttlSeconds: UInt32
    let retain: Bool

    func message(_ payload: RawPayload) throws(ApusError) -> OutgoingMessage {
        switch payload {
        case .text(let text): return try self.text(text)
        case .record(let record) where declaration.isText(record): return try text(record)
        case .record(let bytes), .bytes(let bytes):
            return message(try declaration.bytes(bytes), declaration.encoding)
        }
    }

    private func text(_ text: ByteBuffer) throws(ApusError) -> OutgoingMessage {
        let encoding = declaration.textEncoding
        return message(try declaration.text(text, encoding), encoding)
    }

    private func message(_ payload: ByteBuffer, _ encoding: Encoding) -> OutgoingMessage {
        OutgoingMessage(
            topic: topic, payload: payload, encoding: encoding, headers: declaration.headers, key: declaration.key,
            ttlSeconds: ttlSeconds, retain: retain, level: level)
    }

    /// Whether every text can be written in its charset, before anything is published.
    func check(_ source: PayloadSource) throws(ApusError) {
        guard case .items(let items, _) = source else { return }
        for case .text(let text) in items { _ = try message(.text(text)) }
    }
}
