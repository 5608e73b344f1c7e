internal import ApusModel
internal import NIOCore

/// A payload as people may read it.
enum ReadablePayload: Equatable {
    case text(DecodedText)
    /// Not text, or not readable as it was declared; the reason is nil where nothing is wrong with it.
    case binary(reason: String?)
}

struct DecodedText: Equatable {
    /// UTF-8.
    var bytes: [UInt8]
    /// The charset by which it was read.
    var charset: String
    /// Not well-formed; U+FFFD stands in the place of what was not.
    var isMalformed = false
    /// There was more than the bound.
    var isCut = false

    /// Without the byte order mark, which is nothing to look at.
    var withoutMark: [UInt8] {
        bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? Array(bytes.dropFirst(3)) : bytes
    }
}

/// Reads payloads by what they declare: undoes compression, decodes text. Keeps converters, so it is for one thread.
final class PayloadReader {
    private let bytesMax: Int
    private var converters: [String: CharsetConverter] = [:]
    private static let convertersMax = 16

    /// - Parameter bytesMax: of decompressed or decoded bytes.
    init(bytesMax: Int = 16 << 20) {
        self.bytesMax = bytesMax
    }

    func read(_ payload: ByteBuffer, _ encoding: Encoding) -> ReadablePayload {
        if encoding.isUndeclared { return payload.withUnsafeReadableBytes { undeclared($0) } }
        guard let compression = encoding.compression else {
            return payload.withUnsafeReadableBytes { read($0, encoding) }
        }
        guard Compression.isKnown(compression) else { return .binary(reason: nil) }
        let inflated = payload.withUnsafeReadableBytes {
            Compression.inflate($0, compression, bytesMax: bytesMax)
        }
        switch inflated {
        case .whole(let bytes): return bytes.withUnsafeBytes { read($0, encoding) }
        case .cut(let bytes):
            guard case .text(var text) = bytes.withUnsafeBytes({ read($0, encoding) }) else {
                return .binary(reason: nil)
            }
            text.isCut = true
            return .text(text)
        case .damaged: return .binary(reason: "not \(compression)")
        }
    }

    private func read(_ bytes: UnsafeRawBufferPointer, _ encoding: Encoding) -> ReadablePayload {
        if let charset = encoding.textCharset { return decode(bytes, charset, byteOrder: encoding.byteOrder) }
        switch Declared(encoding.mediaType) {
        case .text: return .text(utf8(bytes, "utf-8"))
        case .binary: return .binary(reason: nil)
        case .open: return undeclared(bytes)
        }
    }

    /// What a media type says about a payload that declares no charset.
    enum Declared {
        case text, binary, open

        init(_ mediaType: String?) {
            guard let mediaType else {
                self = .open
                return
            }
            let binary = ["image/", "audio/", "video/", "font/", "application/octet-stream", "application/zip"]
            if mediaType.hasPrefix("text/") || mediaType.hasSuffix("+xml") || mediaType == "application/xml" {
                self = .text
            } else if binary.contains(where: { mediaType.hasPrefix($0) }), !mediaType.hasSuffix("+xml") {
                self = .binary
            } else {
                self = .open
            }
        }
    }

    /// Text if it is UTF-8 without control characters other than those of text; else bytes.
    private func undeclared(_ bytes: UnsafeRawBufferPointer) -> ReadablePayload {
        for byte in bytes where byte < 0x20 && !(0x09...0x0D).contains(byte) && byte != 0x1B {
            return .binary(reason: nil)
        }
        let text = utf8(bytes, "utf-8")
        return text.isMalformed ? .binary(reason: nil) : .text(text)
    }

    private func utf8(_ bytes: UnsafeRawBufferPointer, _ charset: String) -> DecodedText {
        let isCut = bytes.count > bytesMax
        let kept = isCut ? Self.wholeCharacters(bytes, bytesMax) : bytes
        if kept.allSatisfy({ $0 < 0x80 }) || (charset == "utf-8" && String(validating: kept, as: UTF8.self) != nil) {
            return DecodedText(bytes: Array(kept), charset: charset, isCut: isCut)
        }
        if charset == "us-ascii" {
            let text = kept.flatMap { $0 < 0x80 ? [$0] : [0xEF, 0xBF, 0xBD] }
            return DecodedText(bytes: text, charset: charset, isMalformed: true, isCut: isCut)
        }
        let repaired = Array(String(decoding: kept, as: UTF8.self).utf8)
        return DecodedText(bytes: repaired, charset: charset, isMalformed: true, isCut: isCut)
    }

    /// The first bytes, without the beginning of a character whose end is behind the cut.
    private static func wholeCharacters(_ bytes: UnsafeRawBufferPointer, _ count: Int) -> UnsafeRawBufferPointer {
        var end = count
        while end > count - 3, end > 0, bytes[end] & 0xC0 == 0x80 { end -= 1 }
        return UnsafeRawBufferPointer(rebasing: bytes[..<end])
    }

    private func decode(
        _ bytes: UnsafeRawBufferPointer, _ charset: String, byteOrder: String?
    ) -> ReadablePayload {
        if charset == "utf-8" || charset == "us-ascii" { return .text(utf8(bytes, charset)) }
        let name = Self.resolved(charset, byteOrder: byteOrder, bytes)
        guard let converter = converter(name) else { return .binary(reason: "unknown charset \(charset)") }
        let decoded = converter.decode(bytes, bytesMax: bytesMax)
        return .text(
            DecodedText(
                bytes: decoded.text, charset: charset, isMalformed: decoded.isMalformed, isCut: decoded.isCut))
    }

    /// UTF-16 and UTF-32 without a byte order mark: the declared byte order decides, else big (RFC 2781, section 4.3).
    private static func resolved(
        _ charset: String, byteOrder: String?, _ bytes: UnsafeRawBufferPointer
    ) -> String {
        guard charset == "utf-16" || charset == "utf-32" else { return charset }
        let marks: [[UInt8]] = [[0xFE, 0xFF], [0xFF, 0xFE], [0, 0, 0xFE, 0xFF]]
        if marks.contains(where: { bytes.starts(with: $0) }) { return charset }
        return charset + (byteOrder == "little" ? "le" : "be")
    }

    private func converter(_ charset: String) -> CharsetConverter? {
        if let known = converters[charset] { return known }
        guard let made = CharsetConverter(from: charset, to: "utf-8") else { return nil }
        if converters.count >= PayloadReader.convertersMax { converters.removeAll() }
        converters[charset] = made
        return made
    }
}
