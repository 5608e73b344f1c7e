/// How to read a payload, as its publisher declared it: stored with every message, delivered as it came, never guessed.
///
/// Each text has at most 255 bytes and no control characters; an empty one counts as not given.
/// A value of one reference: it goes with every message, and copying five texts a hand-over showed in the profile.
public struct Encoding: Hashable, Sendable {
    private final class Storage: Sendable {
        let contentType: String?
        let charset: String?
        let contentEncoding: String?
        let byteOrder: String?
        let format: String?
        /// All five texts, each ended by a NUL, which none contains.
        let raw: [UInt8]
        let checksum: UInt32
        let hash: Int

        init(_ texts: [String?]) {
            (contentType, charset, contentEncoding, byteOrder, format) = (
                texts[0], texts[1], texts[2], texts[3], texts[4]
            )
            raw = texts.flatMap { Array(($0 ?? "").utf8) + [0] }
            checksum = Checksum.of(raw)
            hash = Topic.hash(of: raw)
        }
    }

    /// Bytes of memory: its texts are kept twice.
    package var cost: Int { 2 * storage.raw.count + 192 }

    /// The longest field, in bytes.
    public static let fieldBytesMax = 255
    public static let undeclared = Encoding(storage: Storage([nil, nil, nil, nil, nil]))

    private let storage: Storage

    /// A media type; parameters allowed: `text/plain; charset=utf-16le`.
    public var contentType: String? { storage.contentType }
    /// An IANA charset name, for text.
    public var charset: String? { storage.charset }
    /// Compression, as in HTTP: `identity`, `gzip`, `deflate`, `zstd` … (or a charset, see ``textCharset``).
    public var contentEncoding: String? { storage.contentEncoding }
    /// `big` or `little`: the order of the numbers inside the payload.
    public var byteOrder: String? { storage.byteOrder }
    /// How the payload is laid out, in words its readers know (a `struct` format, a schema's name). Not interpreted.
    public var format: String? { storage.format }
    /// CRC-32C of all five texts, each ended by a NUL.
    package var checksum: UInt32 { storage.checksum }
    /// All five texts, each ended by a NUL.
    package var raw: [UInt8] { storage.raw }

    /// - Throws: `invalid-encoding`, naming the field.
    public init(
        contentType: String? = nil, charset: String? = nil, contentEncoding: String? = nil, byteOrder: String? = nil,
        format: String? = nil
    ) throws(ApusError) {
        func checked(_ field: String, _ text: String?) throws(ApusError) -> String? {
            guard let text, !text.isEmpty else { return nil }
            guard text.utf8.count <= Encoding.fieldBytesMax else {
                throw ApusError(
                    .invalidEncoding, "\(field) has \(text.utf8.count) bytes, the limit is \(Encoding.fieldBytesMax)")
            }
            guard !text.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) else {
                throw ApusError(.invalidEncoding, "\(field) contains a control character")
            }
            return text
        }
        storage = Storage([
            try checked("content-type", contentType), try checked("charset", charset),
            try checked("content-encoding", contentEncoding), try checked("byte-order", byteOrder),
            try checked("format", format),
        ])
        if let order = self.byteOrder, order != "big", order != "little" {
            throw ApusError(
                .invalidEncoding, "byte-order is \"\(order)\"",
                hint: "It is big (network order) or little; leave it out for text.")
        }
    }

    private init(storage: Storage) { self.storage = storage }

    package var isUndeclared: Bool { self == .undeclared }

    /// Byte for byte: what only looks the same is another declaration, and is delivered as it came.
    public static func == (a: Encoding, b: Encoding) -> Bool {
        a.storage === b.storage || (a.storage.hash == b.storage.hash && a.storage.raw == b.storage.raw)
    }

    public func hash(into hasher: inout Hasher) { hasher.combine(storage.hash) }
}

// What the broker understands from the declaration. It stands beside it and never replaces it.
extension Encoding {
    /// The media type without parameters, in lower case.
    public var mediaType: String? {
        guard let contentType else { return nil }
        let type = contentType.prefix { $0 != ";" }.trimmed.lowercased()
        return type.isEmpty ? nil : type
    }

    /// The charset of the text, in lower case: the declared `charset`; else the media type's parameter; else a charset
    /// named as `content-encoding`, which is what plain Python socket tutorials send; else UTF-8 for JSON (RFC 8259, 8.1).
    public var textCharset: String? {
        if let charset { return Encoding.canonical(charset: charset) }
        if let parameter = charsetParameter { return Encoding.canonical(charset: parameter) }
        if let contentEncoding, Encoding.isCharset(contentEncoding) {
            return Encoding.canonical(charset: contentEncoding)
        }
        if let mediaType, mediaType == "application/json" || mediaType.hasSuffix("+json") { return "utf-8" }
        return nil
    }

    /// The compression, in lower case; nil where there is none (`identity`, or a charset named in its place).
    public var compression: String? {
        guard let name = contentEncoding?.trimmed.lowercased(), name != "identity", !Encoding.isCharset(name) else {
            return nil
        }
        return name == "x-gzip" ? "gzip" : name
    }

    private var charsetParameter: String? {
        guard let contentType else { return nil }
        for parameter in contentType.split(separator: ";").dropFirst() {
            let pair = parameter.split(separator: "=", maxSplits: 1)
            guard pair.count == 2, pair[0].trimmed.lowercased() == "charset" else { continue }
            let value = pair[1].trimmed.drop { $0 == "\"" }.prefix { $0 != "\"" }
            return value.isEmpty ? nil : String(value)
        }
        return nil
    }

    private static let aliases = [
        "utf8": "utf-8", "utf16": "utf-16", "utf16le": "utf-16le", "utf16be": "utf-16be", "ascii": "us-ascii",
        "latin1": "iso-8859-1", "latin-1": "iso-8859-1", "iso8859-1": "iso-8859-1", "sjis": "shift_jis",
        "shift-jis": "shift_jis", "cp1252": "windows-1252",
    ]

    private static func canonical(charset: some StringProtocol) -> String {
        let name = charset.trimmed.lowercased()
        return aliases[name] ?? name
    }

    private static let charsetPrefixes = [
        "utf-", "utf8", "utf16", "utf32", "iso-8859", "iso8859", "latin", "windows-", "cp1", "cp4", "cp8", "cp9",
        "iso-2022", "euc-", "gb", "big5", "koi8", "shift", "sjis", "us-ascii", "ascii", "macintosh", "tis-620",
    ]

    private static func isCharset(_ name: String) -> Bool {
        let name = name.trimmed.lowercased()
        return charsetPrefixes.contains { name.hasPrefix($0) }
    }
}

extension StringProtocol {
    /// Without spaces and tabs at both ends.
    fileprivate var trimmed: String {
        let isSpace = { (c: Character) in c == " " || c == "\t" }
        return String(String(drop(while: isSpace).reversed()).drop(while: isSpace).reversed())
    }
}
