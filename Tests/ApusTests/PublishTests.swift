import ApusClient
import ApusModel
import NIOConcurrencyHelpers
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

    @Test("Records are declared as text of the command line is, where they are UTF-8")
    func records() throws {
        for encoding in [
            Encoding.undeclared, try Encoding(charset: "shift_jis"), try Encoding(contentType: "application/json"),
            try Encoding(contentType: "text/csv", contentEncoding: "gzip"), try Encoding(contentType: "image/png"),
        ] {
            for text in ["gruezi", "", "a\tb\r"] {
                let given = try message(.text(ByteBuffer(string: text)), encoding)
                let record = try message(.record(ByteBuffer(string: text)), encoding)
                #expect(given.encoding == record.encoding)
                #expect(given.payload == record.payload)
            }
        }
        let plain = try message(.record(ByteBuffer(string: "ü")), .undeclared)
        #expect(plain.encoding == (try Encoding(contentType: "text/plain", charset: "utf-8")))
        let latin = try message(.record(ByteBuffer(string: "ü")), try Encoding(charset: "latin1"))
        #expect(latin.payload == ByteBuffer(bytes: [0xFC]))
    }

    @Test("A record that is not UTF-8 is bytes, unless it is declared to be text")
    func recordsOfBytes() throws {
        let bytes = ByteBuffer(bytes: [0x61, 0xFF])
        for encoding in [Encoding.undeclared, try Encoding(contentType: "text/plain")] {
            let record = try message(.record(bytes), encoding)
            #expect(record.payload == bytes)
            #expect(record.encoding == encoding)
        }
        for encoding in [try Encoding(charset: "utf-8"), try Encoding(contentType: "application/json")] {
            #expect(throws: ApusError.self) { try message(.record(bytes), encoding) }
        }
    }

    @Test("What is declared to be no text, or compressed already, is not taken for it")
    func recordsOfSomethingElse() throws {
        let text = ByteBuffer(string: "text")
        for encoding in [
            try Encoding(contentType: "application/octet-stream"), try Encoding(contentEncoding: "zstd"),
        ] {
            #expect(try message(.record(text), encoding).encoding == encoding)
            #expect(try message(.record(text), encoding).payload == text)
        }
        let gzip = try Encoding(contentEncoding: "gzip")
        #expect(try message(.record(text), gzip, compresses: false).encoding == gzip)
        #expect(try message(.text(text), try Encoding(contentType: "image/png")).encoding.charset == nil)
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
        func text(_ result: Result<Receipt, ApusError>) -> String {
            Samples.text { ReceiptPrinter.appendText(result, to: &$0) }
        }
        func json(_ result: Result<Receipt, ApusError>) -> String {
            Samples.text { ReceiptPrinter.appendJSON(result, "t", to: &$0) }
        }
        #expect(text(.success(receipt)) == "seq 42 synced\n")
        #expect(json(.success(receipt)) == #"{"seq":42,"topic":"t","level":"synced"}"# + "\n")
        #expect(
            text(.success(Receipt(seq: 0, level: .synced, isDuplicate: true))) == "duplicate, recorded before\n")
        #expect(text(.failure(ApusError(.notAllowed, "no"))) == "refused not-allowed\n")
        #expect(
            json(.failure(ApusError(.notAllowed, "no")))
                == #"{"topic":"t","error":"not-allowed","message":"no"}"# + "\n")
        var lost = ApusError(.connectionLost, "gone")
        lost.isOutcomeUnknown = true
        #expect(text(.failure(lost)) == "unknown connection-lost\n")
        #expect(json(.failure(lost)).hasSuffix(#""message":"gone","unknown":true}"# + "\n"))
    }

    @Test("The count says how many were recorded, how many were refused, and why")
    func tally() {
        func failure(_ code: ApusError.Code, isUnknown: Bool = false) -> Result<Receipt, ApusError> {
            var error = ApusError(code, "x")
            error.isOutcomeUnknown = isUnknown
            return .failure(error)
        }
        let recorded = Result<Receipt, ApusError>.success(Receipt(seq: 1, level: .synced))
        var tally = PublishTally()
        #expect(tally.text == "0 messages recorded")
        tally.add([recorded])
        #expect(tally.text == "1 message recorded")
        tally.add([failure(.notAllowed)])
        #expect(tally.text == "1 message recorded, 1 refused (not-allowed)")
        tally.add([
            recorded, failure(.messageTooLarge), failure(.notAllowed), failure(.connectionLost, isUnknown: true),
        ])
        tally.add([failure(.closed), failure(.closed)])
        #expect(
            tally.text
                == "2 messages recorded, 3 refused (2 not-allowed, 1 message-too-large), 1 unknown (connection-lost), "
                + "2 not sent (closed)")
        #expect(tally.succeeded == 2)
        #expect(tally.failed == 6)
        #expect(tally.firstError?.code == .notAllowed)
        var unasked = PublishTally()
        unasked.add([.success(Receipt(seq: 0, level: .none))])
        #expect(unasked.text == "1 message sent")
        #expect(unasked.succeeded == 1)
    }

    /// A bar whose clock stands still unless it is moved, and what it draws.
    private func bar(
        _ totalBytes: Int, isTerminal: Bool = true
    ) -> (bar: ProgressBar, clock: NIOLockedValueBox<ContinuousClock.Instant>, drawn: NIOLockedValueBox<[String]>) {
        let clock = NIOLockedValueBox(ContinuousClock.now)
        let drawn = NIOLockedValueBox<[String]>([])
        let bar = ProgressBar(
            totalBytes: totalBytes, isShown: true, isTerminal: isTerminal, now: { clock.withLockedValue { $0 } },
            write: { bytes in drawn.withLockedValue { $0.append(String(decoding: bytes, as: UTF8.self)) } })
        return (bar, clock, drawn)
    }

    @Test("The progress bar moves while one message is sent, ten times a second at most, and never back")
    func progressWhileSending() {
        let (bar, clock, drawn) = bar(10 << 20)
        func pass() { clock.withLockedValue { $0 = $0 + .milliseconds(100) } }
        func shown() -> String { drawn.withLockedValue { $0.last ?? "" } }
        bar.handOver(10 << 20, onWire: 10 << 20)
        #expect(shown().contains("  0%"))
        for piece in 1...100 { bar.sent(piece << 10, of: (10 << 20) + 60) }
        #expect(drawn.withLockedValue { $0.count } == 1)
        pass()
        bar.sent(5 << 20, of: (10 << 20) + 60)
        #expect(shown().contains(" 50%  5 MiB of 10 MiB"))
        pass()
        // The connection was lost, and all of it is sent again.
        bar.sent(1 << 20, of: (10 << 20) + 60)
        #expect(shown().contains(" 50%"))
        pass()
        bar.sent((10 << 20) + 60, of: (10 << 20) + 60)
        #expect(shown().contains("100%  10 MiB of 10 MiB"))
        pass()
        bar.acknowledge(10 << 20, onWire: 10 << 20)
        #expect(shown().contains("100%  10 MiB of 10 MiB"))
        bar.finish()
        #expect(shown() == "\r\u{1B}[K")
    }

    @Test("Of a compressed file the bar shows the file's bytes")
    func progressCompressed() {
        let (bar, clock, drawn) = bar(8 << 20)
        bar.handOver(4 << 20, onWire: 1 << 20)
        clock.withLockedValue { $0 = $0 + .seconds(1) }
        bar.sent(1 << 19, of: 1 << 20)
        #expect(drawn.withLockedValue { $0.last }?.contains(" 25%  2 MiB of 8 MiB  2 MiB/s") == true)
    }

    @Test("There is no bar without a terminal, and none for what is sent at once")
    func noProgress() {
        for (bar, _, drawn) in [bar(10 << 20, isTerminal: false), bar(1_000)] {
            bar.handOver(1_000, onWire: 1_000)
            bar.sent(1, of: 2)
            bar.acknowledge(1_000, onWire: 1_000)
            bar.finish()
            #expect(!bar.isShown)
            #expect(drawn.withLockedValue { $0.isEmpty })
        }
    }

    @Test("The progress bar counts bytes")
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
