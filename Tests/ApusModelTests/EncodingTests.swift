import ApusModel
import Testing

@Suite("The encoding of a payload")
struct EncodingTests {
    struct Case: Sendable {
        var type: String?
        var charset: String?
        var coding: String?
        var media: String?
        var text: String?
        var compression: String?
    }

    static let table: [Case] = [
        Case(),
        Case(type: "text/plain", media: "text/plain"),
        Case(type: " Text/PLAIN ; x=y", media: "text/plain"),
        Case(type: "text/plain; charset=utf-16le", media: "text/plain", text: "utf-16le"),
        Case(type: "text/plain;Charset=\"ISO-8859-1\"", media: "text/plain", text: "iso-8859-1"),
        Case(type: "text/plain; format=flowed; charset=Shift_JIS ", media: "text/plain", text: "shift_jis"),
        Case(type: "text/plain; charset=", media: "text/plain"),
        Case(type: "text/plain; charset", media: "text/plain"),
        Case(type: "text/plain; charset=latin1", charset: "UTF8", media: "text/plain", text: "utf-8"),
        Case(type: ";charset=utf-8"),
        Case(type: "application/json", media: "application/json", text: "utf-8"),
        Case(type: "application/problem+json", media: "application/problem+json", text: "utf-8"),
        Case(type: "application/json", charset: "utf-16", media: "application/json", text: "utf-16"),
        Case(type: "application/octet-stream", media: "application/octet-stream"),
        Case(charset: "latin1", text: "iso-8859-1"),
        Case(charset: "ASCII", text: "us-ascii"),
        Case(charset: "cp1252", text: "windows-1252"),
        Case(charset: " utf16be ", text: "utf-16be"),
        Case(coding: "utf-8", text: "utf-8"),
        Case(coding: "UTF-8", text: "utf-8"),
        Case(coding: "utf8", text: "utf-8"),
        Case(coding: "ascii", text: "us-ascii"),
        Case(coding: "latin-1", text: "iso-8859-1"),
        Case(coding: "gbk", text: "gbk"),
        Case(coding: "gzip", compression: "gzip"),
        Case(coding: "x-gzip", compression: "gzip"),
        Case(coding: " GZIP ", compression: "gzip"),
        Case(coding: "deflate", compression: "deflate"),
        Case(coding: "zstd", compression: "zstd"),
        Case(coding: "br", compression: "br"),
        Case(coding: "identity"),
        Case(coding: "Identity"),
        Case(type: "application/json", coding: "gzip", media: "application/json", text: "utf-8", compression: "gzip"),
        Case(type: "text/plain; charset=latin1", coding: "utf-8", media: "text/plain", text: "iso-8859-1"),
        Case(type: "", charset: "", coding: ""),
    ]

    @Test("is understood by the table of docs/PROTOCOL.md, section 7", arguments: table.indices)
    func understood(_ index: Int) throws {
        let row = EncodingTests.table[index]
        let encoding = try Encoding(contentType: row.type, charset: row.charset, contentEncoding: row.coding)
        #expect(encoding.mediaType == row.media)
        #expect(encoding.textCharset == row.text)
        #expect(encoding.compression == row.compression)
    }

    @Test("keeps what was declared as it was declared, and an empty text is none")
    func keepsTheDeclaration() throws {
        let encoding = try Encoding(
            contentType: " Text/PLAIN ", charset: "UTF8", contentEncoding: "X-Gzip", byteOrder: "little", format: "<hh")
        #expect(encoding.contentType == " Text/PLAIN ")
        #expect(encoding.charset == "UTF8")
        #expect(encoding.contentEncoding == "X-Gzip")
        #expect(encoding.byteOrder == "little")
        #expect(encoding.format == "<hh")
        let empty = try Encoding(contentType: "", charset: "", contentEncoding: "", byteOrder: "", format: "")
        #expect(empty == .undeclared && empty.isUndeclared && empty.contentType == nil)
    }

    @Test("names big or little as byte order, nothing else", arguments: ["Big", "network", "be", "big ", "middle"])
    func byteOrders(_ order: String) throws {
        _ = try Encoding(byteOrder: "big")
        #expect(code { () throws(ApusError) in _ = try Encoding(byteOrder: order) } == .invalidEncoding)
    }

    @Test("has no control characters", arguments: ["a\0", "a\nb", "\u{7F}", "\t", "\u{1F}"])
    func controlCharacters(_ text: String) {
        #expect(code { () throws(ApusError) in _ = try Encoding(contentType: text) } == .invalidEncoding)
        #expect(code { () throws(ApusError) in _ = try Encoding(charset: text) } == .invalidEncoding)
        #expect(code { () throws(ApusError) in _ = try Encoding(contentEncoding: text) } == .invalidEncoding)
        #expect(code { () throws(ApusError) in _ = try Encoding(format: text) } == .invalidEncoding)
    }

    @Test("has fields of at most 255 bytes")
    func longFields() {
        let most = String(repeating: "x", count: 255)
        #expect(code { () throws(ApusError) in _ = try Encoding(contentType: most, format: most) } == nil)
        #expect(code { () throws(ApusError) in _ = try Encoding(format: most + "x") } == .invalidEncoding)
    }

    @Test("is compared byte for byte, so that a declaration is delivered as it came")
    func comparedAsBytes() throws {
        let composed = try Encoding(format: "\u{E9}")
        let decomposed = try Encoding(format: "e\u{301}")
        #expect(composed != decomposed)
        #expect(Set([composed, decomposed]).count == 2)
        #expect(composed == (try Encoding(format: "\u{E9}")))
        // The same text in another field is another encoding.
        #expect(try Encoding(contentType: "a") != Encoding(charset: "a"))
        #expect(try Encoding(contentType: "a").checksum != Encoding(charset: "a").checksum)
    }
}
