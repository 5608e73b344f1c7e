/// How to read a payload, as its publisher declared it: stored with every message, delivered as it came, never guessed.
///
/// Each text has at most 255 bytes and no control characters; an empty one counts as not given.
public struct Encoding: Hashable, Sendable {
    /// The longest field, in bytes.
    public static let fieldBytesMax = 255

    /// A media type; parameters allowed: `text/plain; charset=utf-16le`.
    public let contentType: String?
    /// An IANA charset name, for text.
    public let charset: String?
    /// Compression, as in HTTP: `identity`, `gzip`, `deflate`, `zstd` … (or a charset, see ``textCharset``).
    public let contentEncoding: String?
    /// `big` or `little`: the order of the numbers inside the payload.
    public let byteOrder: String?
    /// How the payload is laid out, in words its readers know (a `struct` format, a schema's name). Not interpreted.
    public let format: String?
    /// CRC-32C of all five texts, each ended by a NUL.
    package let checksum: UInt32

    public static let undeclared = Encoding(unchecked: nil, nil, nil, nil, nil)

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
        self.init(
            unchecked: try checked("content-type", contentType), try checked("charset", charset),
            try checked("content-encoding", contentEncoding), try checked("byte-order", byteOrder),
            try checked("format", format))
        if let order = self.byteOrder, order != "big", order != "little" {
            throw ApusError(
                .invalidEncoding, "byte-order is \"\(order)\"",
                hint: "It is big (network order) or little; leave it out for text.")
        }
    }

    private init(
        unchecked contentType: String?, _ charset: String?, _ contentEncoding: String?, _ byteOrder: String?,
        _ format: String?
    ) {
        self.contentType = contentType
        self.charset = charset
        self.contentEncoding = contentEncoding
        self.byteOrder = byteOrder
        self.format = format
        var state: UInt32 = 0
        for text in [contentType, charset, contentEncoding, byteOrder, format] {
            state = Checksum.of(text ?? "", continuing: state)
            state = Checksum.of([0], continuing: state)
        }
        checksum = state
    }

    package var isUndeclared: Bool { self == .undeclared }
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
