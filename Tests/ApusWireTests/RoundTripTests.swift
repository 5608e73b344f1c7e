import ApusModel
import ApusTesting
import ApusWire
import NIOCore
import Testing

@Suite("What is written is read again")
struct RoundTripTests {
    /// The frame, written in one way and read.
    private func there(_ frame: Frame, _ way: Way) throws -> String? {
        let bytes = try #require(try rewrite(frame, way))
        let reading = read(bytes)
        #expect(reading.error == nil && !reading.isInsideFrame)
        return reading.frames.first
    }

    @Test("Every frame with extreme values, in both ways", arguments: [Way.json, .compact])
    func extremes(_ way: Way) throws {
        for frame in RoundTripTests.extremeFrames { #expect(try there(frame, way) == describe(frame).sorted) }
    }

    private static var extremeFrames: [Frame] {
        let last = UInt64(Int64.max)
        let long = String(repeating: "ü\"\\\u{1}", count: 1_000)
        var hello = Hello()
        hello.version = last
        hello.clientID = String(repeating: "ü", count: 255)
        hello.token = Secret(long)
        hello.publisher = ""
        hello.keepAlive = last
        var query = Query(query: .max, select: .history)
        query.filters = (try? [TopicFilter("#"), TopicFilter(long)]) ?? []
        query.conditions.fromSeq = 0
        query.conditions.toSeq = last
        query.conditions.since = .min
        query.conditions.until = .max
        query.conditions.last = Int(Int32.max)
        query.conditions.headers = Headers([.init("", ""), .init("", long)])
        query.conditions.grep = "\0"
        query.limit = last
        query.credit = 0
        let start: [StartPosition] = [
            .now, .start, .lastPerTopic, .seq(0), .seq(last), .time(.min), .time(.max), .ago(0),
            .ago(3_200_000_000_000),
            .last(0), .last(Int(Int32.max)),
        ]
        let error = ApusError(.tooMany, long, hint: "", isFatal: true)
        return [
            .hello(hello), .hello(Hello()), .query(query), .ping, .pong, .goodbye(reason: nil), .goodbye(reason: long),
            .welcome(Welcome(clientID: "", log: long, lastID: 0, keepAlive: last, limits: ["": 0, "x": last])),
            .published(PublishedRun(lastID: 0, count: 0, lastSeq: 0, level: .none, isDuplicate: true)),
            .published(
                PublishedRun(lastID: last, count: 4_294_967_295, lastSeq: last, level: .synced, isDuplicate: false)),
            .subscribed(subscription: .max, next: last), .credit(Credit(target: .query(.max), credit: last)),
            .ack(subscription: .max, seq: last), .nack(subscription: 0, seq: 0), .unsubscribe(subscription: .max),
            .caughtUp(subscription: .max, seq: last),
            .gap(GapNotice(subscription: .max, from: 0, to: last, count: last, reason: "")),
            .end(QueryEnd(query: .max, count: last, reason: long)),
            .error(ErrorReply(ApusError(.closed, ""), id: last, subscription: .max, query: .max, count: last)),
            .error(ErrorReply(ApusError(error.code, String(long.prefix(500)), hint: "", isFatal: true))),
        ]
            + start.map { .subscribe(Subscribe(subscription: .max, filters: query.filters, from: $0, credit: last)) }
    }

    @Test("A message with random texts and payload, in both ways")
    func messages() throws {
        var random = SeededRandom(seed: 2_787)
        for _ in 0..<300 {
            let name = text(&random).unicodeScalars.filter { !["+", "#", "\0"].contains($0) }
            let topic = try Topic("t" + String(String.UnicodeScalarView(name)))
            let encoding = try Encoding(
                contentType: plain(&random), charset: plain(&random), contentEncoding: plain(&random),
                byteOrder: Bool.random(using: &random) ? "big" : nil, format: plain(&random))
            let headers = Headers((0..<Int.random(in: 0...3, using: &random)).map { .init("\($0)", text(&random)) })
            let key = text(&random)
            let payload = (0..<Int.random(in: 0...300, using: &random)).map { _ in
                UInt8(truncatingIfNeeded: random.next())
            }
            let seq = random.next() >> 1
            let time = Int64(bitPattern: random.next())
            for way in [Way.json, .compact] {
                var out = ByteBuffer()
                let fragment = EnvelopeFragment(topic: topic, encoding: encoding, way: way)
                withBytes(headers.isEmpty ? [] : headers.json.bytes, Array(key.utf8), payload) { content in
                    EnvelopeWriter.message(
                        .subscription(7), seq: seq, time: time, isRetained: true, fragment: fragment, content: content,
                        way: way, into: &out)
                }
                guard case .message(let envelope)? = try frames(Array(out.readableBytesView)).first else {
                    Issue.record("no message")
                    continue
                }
                let message = try envelope.message()
                #expect(envelope.subscription == 7 && message.seq == seq && message.receivedAt == time)
                #expect(Array(message.topic.utf8) == topic.bytes)
                #expect(message.encoding == encoding && message.headers == headers && message.isRetained)
                #expect((message.key ?? "") == key && Array(message.payload.readableBytesView) == payload)
            }
        }
    }

    /// Any scalars, control characters and NUL among them.
    private func text(_ random: inout SeededRandom) -> String {
        var scalars = String.UnicodeScalarView()
        for _ in 0..<Int.random(in: 0...8, using: &random) {
            let code = UInt32.random(in: 0...0x10FFFF, using: &random) >> UInt32.random(in: 0...20, using: &random)
            if let scalar = Unicode.Scalar(code) { scalars.append(scalar) }
        }
        return String(scalars)
    }

    /// A text that the encoding may have.
    private func plain(_ random: inout SeededRandom) -> String? {
        let scalars = text(&random).unicodeScalars.filter { $0.value >= 0x20 && $0.value != 0x7F }
        return scalars.isEmpty ? nil : String(String.UnicodeScalarView(scalars))
    }

    @Test("A number of 64 bits is cut to what the protocol can say", arguments: [Way.json, .compact])
    func numbersAreCut(_ way: Way) throws {
        let credit = try there(.credit(Credit(target: .subscription(1), credit: .max)), way)
        #expect(credit == describe(.credit(Credit(target: .subscription(1), credit: UInt64(Int64.max)))).sorted)
    }

    @Test("The text of an error is bounded, whatever it quotes", arguments: [Way.json, .compact])
    func errorTexts(_ way: Way) throws {
        // One character of 60,000 bytes: a bound on characters would not cut it.
        let quote = "x" + String(repeating: "\u{301}", count: 30_000)
        #expect(quote.count == 1)
        let error = ApusError(.unknownKind, "no kind \"\(quote)\"", hint: String(repeating: "\u{1}", count: 30_000))
        let bytes = try #require(try rewrite(.error(ErrorReply(error, id: 1)), way))
        guard case .error(let reply)? = try frames(bytes).first else {
            Issue.record("no error")
            return
        }
        #expect(reply.error.message.utf8.starts(with: "no kind \"x".utf8) && reply.error.message.hasSuffix("…"))
        #expect((4_000...4_096).contains(reply.error.message.utf8.count))
        #expect((4_000...4_096).contains(reply.error.hint?.utf8.count ?? 0))
        #expect(reply.id == 1)
    }

    @Test("A header that would be too long is not written at all", arguments: [Way.json, .compact])
    func tooLong(_ way: Way) throws {
        var out = ByteBuffer(string: "before")
        let filter = try TopicFilter(String(repeating: "x", count: 65_535))
        #expect(!FrameWriter.write(.subscribe(Subscribe(subscription: 1, filters: [filter])), way, into: &out))
        #expect(String(buffer: out) == "before")
        let fits = try TopicFilter(String(repeating: "x", count: 65_000))
        #expect(FrameWriter.write(.subscribe(Subscribe(subscription: 1, filters: [fits])), way, into: &out))
        #expect(out.readableBytes > 65_000)
    }
}
