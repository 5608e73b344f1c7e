import ApusModel
import NIOCore
import Testing

@testable import apus

@Suite("Text is read by its declared charset")
struct CharsetTests {
    /// Charset, bytes, and what they say. From the charsets' tables, not from the converter under test.
    static let samples: [(String, [UInt8], String)] = [
        ("shift_jis", [0x82, 0xB1, 0x82, 0xF1], "こん"),
        ("gb18030", [0xC4, 0xE3, 0xBA, 0xC3], "你好"),
        ("gb18030", [0x94, 0x39, 0xDA, 0x33], "💩"),
        ("utf-16le", [0x68, 0x00, 0x69, 0x00], "hi"),
        ("utf-16be", [0xD8, 0x3D, 0xDC, 0xA9], "💩"),
        ("iso-8859-1", [0x67, 0xFC, 0x6E], "gün"),
        ("windows-1252", [0x80], "€"),
        ("utf-8", Array("žluťoučký".utf8), "žluťoučký"),
        ("us-ascii", [0x61], "a"),
    ]

    @Test("Bytes become the text they say", arguments: samples)
    func decodes(charset: String, bytes: [UInt8], text: String) throws {
        let read = PayloadReader().read(ByteBuffer(bytes: bytes), try Encoding(charset: charset))
        #expect(read == .text(DecodedText(bytes: Array(text.utf8), charset: charset)))
    }

    @Test("Text becomes the bytes that say it", arguments: samples)
    func encodes(charset: String, bytes: [UInt8], text: String) throws {
        #expect(try TextEncoder.encode(Array(text.utf8), to: charset, byteOrder: nil) == bytes)
    }

    @Test("A byte order mark is not shown, and decides where the charset leaves the order open")
    func marks() throws {
        let little: [UInt8] = [0xFF, 0xFE, 0x68, 0x00]
        for charset in ["utf-16le", "utf-16"] {
            let read = PayloadReader().read(ByteBuffer(bytes: little), try Encoding(charset: charset))
            guard case .text(let text) = read else {
                Issue.record("\(charset) is not text")
                continue
            }
            #expect(text.withoutMark == Array("h".utf8))
        }
    }

    @Test(
        "UTF-16 without a mark goes by the declared byte order, else big-endian",
        arguments: [("little", [0x68, 0x00]), ("big", [0x00, 0x68]), (nil, [0x00, 0x68])] as [(String?, [UInt8])])
    func byteOrder(order: String?, bytes: [UInt8]) throws {
        let encoding = try Encoding(charset: "utf-16", byteOrder: order)
        let read = PayloadReader().read(ByteBuffer(bytes: bytes), encoding)
        #expect(read == .text(DecodedText(bytes: [0x68], charset: "utf-16")))
        let mark: [UInt8] = order == "little" ? [0xFF, 0xFE] : [0xFE, 0xFF]
        #expect(try TextEncoder.encode([0x68], to: "utf-16", byteOrder: order) == mark + bytes)
    }

    @Test("A character that the charset does not have is named, with its place")
    func unconvertible() {
        let error = #expect(throws: ApusError.self) {
            try TextEncoder.encode(Array("10 €".utf8), to: "iso-8859-1", byteOrder: nil)
        }
        #expect(error?.code == .invalidEncoding)
        #expect(error?.message == "\"€\" (U+20AC, character 4) cannot be written in iso-8859-1")
    }

    @Test(
        "Neither an unknown charset nor options of the C library are charsets",
        arguments: ["x-nope", "", "ascii//IGNORE"])
    func unknown(charset: String) {
        #expect(CharsetConverter(from: charset, to: "utf-8") == nil)
        #expect(throws: ApusError.self) { try TextEncoder.encode([0x61], to: charset, byteOrder: nil) }
    }

    @Test(
        "What is malformed becomes U+FFFD and is marked, and the rest is kept",
        arguments: [
            ("utf-8", [0x61, 0xFF, 0x62], "a\u{FFFD}b"), ("us-ascii", [0x61, 0x80, 0x62], "a\u{FFFD}b"),
            ("shift_jis", [0x61, 0xFF, 0x62], "a\u{FFFD}b"),
            ("utf-16le", [0x00, 0xDC, 0x62, 0x00], "\u{FFFD}b"), ("utf-16le", [0x62, 0x00, 0x63], "b\u{FFFD}"),
        ] as [(String, [UInt8], String)])
    func malformed(charset: String, bytes: [UInt8], text: String) throws {
        let read = PayloadReader().read(ByteBuffer(bytes: bytes), try Encoding(charset: charset))
        #expect(read == .text(DecodedText(bytes: Array(text.utf8), charset: charset, isMalformed: true)))
    }

    @Test("A long text in another charset is cut at the bound")
    func bounded() throws {
        let payload = ByteBuffer(bytes: Array(repeating: UInt8(0xFC), count: 100_000))
        let read = PayloadReader(bytesMax: 1_000).read(payload, try Encoding(charset: "iso-8859-1"))
        guard case .text(let text) = read else {
            Issue.record("not text")
            return
        }
        #expect(text.isCut)
        #expect((1_000...6_000).contains(text.bytes.count))
    }
}

@Suite("What is text, and what is not")
struct PayloadReaderTests {
    private func read(_ bytes: [UInt8], _ encoding: Encoding = .undeclared) -> ReadablePayload {
        PayloadReader().read(ByteBuffer(bytes: bytes), encoding)
    }

    @Test("Without a declaration, valid UTF-8 without control characters is text")
    func undeclared() {
        #expect(read(Array("grüße\n".utf8)) == .text(DecodedText(bytes: Array("grüße\n".utf8), charset: "utf-8")))
        #expect(read([0x61, 0xFF]) == .binary(reason: nil))
        #expect(read([0x61, 0x00]) == .binary(reason: nil))
        #expect(read([]) == .text(DecodedText(bytes: [], charset: "utf-8")))
    }

    @Test("An image is not text, even if its bytes could be", arguments: ["image/png", "application/octet-stream"])
    func image(type: String) throws {
        #expect(read([0x61], try Encoding(contentType: type)) == .binary(reason: nil))
    }

    @Test("text/* without a charset is UTF-8, and marked where it is not")
    func declaredText() throws {
        let encoding = try Encoding(contentType: "text/plain")
        #expect(
            read([0x61, 0xFF], encoding)
                == .text(DecodedText(bytes: Array("a\u{FFFD}".utf8), charset: "utf-8", isMalformed: true)))
    }

    @Test("An undeclared text is cut between characters")
    func cut() {
        let read = PayloadReader(bytesMax: 4).read(ByteBuffer(string: "abcéf"), .undeclared)
        #expect(read == .text(DecodedText(bytes: Array("abc".utf8), charset: "utf-8", isCut: true)))
    }

    @Test("Compression is undone", arguments: ["gzip", "x-gzip", "deflate"])
    func compressed(name: String) throws {
        let encoding = try Encoding(contentType: "text/plain", contentEncoding: name)
        let declaration = try Declaration(encoding)
        let payload = try declaration.bytes(ByteBuffer(string: "hello hello hello"))
        #expect(payload != ByteBuffer(string: "hello hello hello"))
        #expect(
            PayloadReader().read(payload, encoding)
                == .text(DecodedText(bytes: Array("hello hello hello".utf8), charset: "utf-8")))
    }

    @Test("Two gzip members are one text")
    func members() throws {
        var payload = try Compression.deflate(ByteBuffer(string: "one "), "gzip")
        var second = try Compression.deflate(ByteBuffer(string: "two"), "gzip")
        payload.writeBuffer(&second)
        #expect(
            payload.withUnsafeReadableBytes { Compression.inflate($0, "gzip", bytesMax: 99) }
                == .whole(Array("one two".utf8)))
    }

    @Test("A small payload that inflates beyond the bound is cut there")
    func bomb() throws {
        let payload = try Compression.deflate(ByteBuffer(repeating: 0x61, count: 10_000_000), "gzip")
        #expect(payload.readableBytes < 20_000)
        let read = PayloadReader(bytesMax: 50_000).read(
            payload, try Encoding(contentType: "text/plain", contentEncoding: "gzip"))
        #expect(read == .text(DecodedText(bytes: Array(repeating: 0x61, count: 50_000), charset: "utf-8", isCut: true)))
    }

    @Test("What is not what it declares is said so, and cut-off data too")
    func damaged() throws {
        let encoding = try Encoding(contentEncoding: "gzip")
        #expect(read(Array("hello".utf8), encoding) == .binary(reason: "not gzip"))
        let whole = try Compression.deflate(ByteBuffer(string: "hello hello hello hello"), "gzip")
        #expect(read(Array(whole.readableBytesView.dropLast(9)), encoding) == .binary(reason: "not gzip"))
        #expect(read([], encoding) == .binary(reason: "not gzip"))
        #expect(read([0x61], try Encoding(contentEncoding: "zstd")) == .binary(reason: nil))
    }
}
