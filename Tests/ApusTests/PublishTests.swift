import ApusClient
import ApusModel
import NIOCore
import Testing

@testable import apus

@Suite("Records of a stream")
struct RecordSplitterTests {
    private func records(_ chunks: [String], separator: UInt8 = 0x0A) throws -> [String] {
        var splitter = RecordSplitter(separator: separator)
        var records: [String] = []
        for chunk in chunks {
            splitter.append(ByteBuffer(string: chunk))
            while let record = try splitter.next() { records.append(String(buffer: record)) }
        }
        if let last = splitter.finish() { records.append(String(buffer: last)) }
        return records
    }

    @Test("Lines come whole, however the stream is cut")
    func cut() throws {
        let text = "one\ntwo\r\n\nthree"
        let expected = ["one", "two\r", "", "three"]
        #expect(try records([text]) == expected)
        #expect(try records(text.unicodeScalars.map(String.init)) == expected)
    }

    @Test("A separator at the end begins no further record")
    func end() throws {
        #expect(try records(["a\n"]) == ["a"])
        #expect(try records([""]) == [])
        #expect(try records(["\n"]) == [""])
    }

    @Test("NULs separate, then newlines are part of a record")
    func nul() throws {
        #expect(try records(["a\nb\0c"], separator: 0) == ["a\nb", "c"])
    }

    @Test("A record beyond the bound is refused while it comes")
    func bound() throws {
        var splitter = RecordSplitter(separator: 0x0A, recordBytesMax: 3)
        splitter.append(ByteBuffer(string: "abcd"))
        #expect(throws: ApusError.self) { try splitter.next() }
    }
}

@Suite("What pub declares")
struct DeclarationTests {
    private func message(
        _ payload: RawPayload, _ encoding: Encoding, compresses: Bool = true
    ) throws -> OutgoingMessage {
        let declaration = try Declaration(encoding, headers: ["a": "b"], key: "k", compresses: compresses)
        return try MessageMaker(topic: "t", declaration: declaration, level: .stored, ttlSeconds: 3, retain: true)
            .message(payload)
    }

    @Test("Text declares itself, unless options say otherwise")
    func text() throws {
        let plain = try message(.text(ByteBuffer(string: "ü")), .undeclared)
        #expect(plain.encoding == (try Encoding(contentType: "text/plain", charset: "utf-8")))
        #expect(plain.payload == ByteBuffer(string: "ü"))
        let json = try message(.text(ByteBuffer(string: "{}")), try Encoding(contentType: "application/json"))
        #expect(json.encoding == (try Encoding(contentType: "application/json")))
    }

    @Test("Text is written in its charset, also where the content type names it")
    func charset() throws {
        let latin = try message(.text(ByteBuffer(string: "ü")), try Encoding(charset: "latin1"))
        #expect(latin.payload == ByteBuffer(bytes: [0xFC]))
        #expect(latin.encoding.charset == "latin1")
        let parameter = try message(
            .text(ByteBuffer(string: "ü")), try Encoding(contentType: "text/plain; charset=utf-16le"))
        #expect(parameter.payload == ByteBuffer(bytes: [0xFC, 0]))
        #expect(parameter.encoding.charset == nil)
    }

    @Test("Lines are bytes without a charset, and text with one")
    func records() throws {
        let bytes = ByteBuffer(bytes: [0xFF])
        #expect(try message(.record(bytes), .undeclared).payload == bytes)
        #expect(try message(.record(bytes), .undeclared).encoding == .undeclared)
        #expect(throws: ApusError.self) { try message(.record(bytes), try Encoding(charset: "utf-8")) }
    }

    @Test("Files are declared and never converted")
    func files() throws {
        let bytes = ByteBuffer(bytes: [0xC3, 0xBC])
        let file = try message(.bytes(bytes), try Encoding(charset: "latin1"))
        #expect(file.payload == bytes)
    }

    @Test("gzip compresses; precompressed and other names are only declared")
    func compression() throws {
        let text = ByteBuffer(repeating: 0x61, count: 1_000)
        let gzip = try Encoding(contentEncoding: "gzip")
        let compressed = try message(.bytes(text), gzip).payload
        #expect(compressed.readableBytes < 100)
        #expect(
            compressed.withUnsafeReadableBytes { Compression.inflate($0, "gzip", bytesMax: 2_000) }
                == .whole(Array(text.readableBytesView)))
        #expect(try message(.bytes(text), gzip, compresses: false).payload == text)
        #expect(try message(.bytes(text), try Encoding(contentEncoding: "zstd")).payload == text)
    }

    @Test("Everything else goes along")
    func rest() throws {
        let made = try message(.bytes(ByteBuffer()), .undeclared)
        #expect(made.topic == "t")
        #expect(made.headers == ["a": "b"])
        #expect(made.key == "k")
        #expect(made.level == .stored)
        #expect(made.ttlSeconds == 3)
        #expect(made.retain)
    }
}

@Suite("Batches of payloads")
struct PayloadCursorTests {
    @Test("Everything comes as often as asked for, in order, and no batch is larger than it may be")
    func repeats() throws {
        let items = ["a", "b", "c"].map { PayloadSource.Item.text(ByteBuffer(string: $0)) }
        var cursor = PayloadCursor(.items(items, repeats: 3_000))
        var seen: [RawPayload] = []
        while true {
            let batch = try cursor.next(countMax: .max)
            if batch.isEmpty { break }
            #expect(batch.count <= PayloadCursor.batchCount)
            seen += batch
        }
        #expect(seen.count == 9_000)
        #expect(seen.prefix(4).map(\.text) == ["a", "b", "c", "a"])
    }

    @Test("Large payloads come one by one")
    func large() throws {
        let item = PayloadSource.Item.bytes(ByteBuffer(repeating: 0, count: PayloadCursor.batchBytes))
        var cursor = PayloadCursor(.items([item, item], repeats: 1))
        #expect(try cursor.next(countMax: .max).count == 1)
        #expect(try cursor.next(countMax: .max).count == 1)
        #expect(try cursor.next(countMax: .max).isEmpty)
    }
}

extension RawPayload {
    fileprivate var text: String {
        switch self {
        case .text(let buffer), .record(let buffer), .bytes(let buffer): String(buffer: buffer)
        }
    }
}

@Suite("The pace of pub --rate")
struct PacerTests {
    @Test("The first goes at once, the others when they are due")
    func pace() throws {
        let start = ContinuousClock.now
        var pacer = Pacer(try PublishRate("10/s"), now: start)
        #expect(pacer.due(now: start) == 1)
        pacer.sent(1)
        #expect(pacer.due(now: start + .milliseconds(99)) == 0)
        #expect(pacer.nextDue == start + .milliseconds(100))
        #expect(pacer.due(now: start + .milliseconds(101)) == 1)
    }

    @Test("A pause is not made up for by a burst")
    func burst() throws {
        let start = ContinuousClock.now
        var pacer = Pacer(try PublishRate("100/s"), now: start)
        #expect(pacer.due(now: start + .seconds(60)) == 10)
        var slow = Pacer(try PublishRate("1/s"), now: start)
        #expect(slow.due(now: start + .seconds(60)) == 1)
    }
}

@Suite("What pub tells")
struct PublishOutputTests {
    @Test("Receipts say the seq and the level")
    func receipts() {
        let receipt = Receipt(seq: 42, level: .synced, isDuplicate: false)
        #expect(Samples.text { ReceiptPrinter.appendText(receipt, to: &$0) } == "seq 42 synced\n")
        #expect(
            Samples.text { ReceiptPrinter.appendJSON(receipt, "t", to: &$0) }
                == #"{"seq":42,"topic":"t","level":"synced"}"# + "\n")
        let duplicate = Receipt(seq: 0, level: .synced, isDuplicate: true)
        #expect(Samples.text { ReceiptPrinter.appendText(duplicate, to: &$0) } == "duplicate, recorded before\n")
    }

    @Test("The progress bar counts what is acknowledged")
    func progress() {
        #expect(
            ProgressBar.line(3 << 20, of: 10 << 20, seconds: 1)
                == "[#########                     ]  30%  3 MiB of 10 MiB  3 MiB/s")
        #expect(ProgressBar.line(0, of: 0, seconds: 0).contains("100%"))
    }

    @Test(
        "Sizes are short",
        arguments: [(0, "0 B"), (1_023, "1023 B"), (1_536, "1.5 KiB"), (1 << 20, "1 MiB"), ((1 << 20) - 1, "1 MiB")])
    func sizes(bytes: Int, text: String) {
        #expect(ByteCount.text(bytes) == text)
    }
}
