import ApusBroker
import ApusModel
import ApusWire
import NIOCore
import Testing

@testable import ApusServer

@Suite("A turn's publishes")
struct SubmissionBuilderTests {
    private func builder(_ change: (inout Limits) -> Void = { _ in }, defaultTopic: Topic? = nil) -> SubmissionBuilder {
        var limits = Limits.defaults
        change(&limits)
        return SubmissionBuilder(
            interner: Interner(entriesMax: limits.nameCacheEntries, bytesMax: limits.nameCacheBytes), limits: limits,
            defaultTopic: defaultTopic)
    }

    @Test("what is remembered of names is bounded in bytes, not only in entries")
    func internerIsBounded() throws {
        let interner = Interner(entriesMax: 1_000, bytesMax: 10_000)
        func topic(_ text: String) throws -> Topic {
            try Array(text.utf8).withUnsafeBytes { (bytes) throws(ApusError) in try interner.topic(bytes) }
        }
        func misses(_ text: String) throws -> Int {
            let before = interner.misses
            _ = try topic(text)
            return interner.misses - before
        }
        #expect(try misses("first") == 1 && misses("first") == 0)
        for index in 0..<4 { #expect(try misses(String(repeating: "x", count: 1_000) + "\(index)") == 1) }
        #expect(try misses("first") == 0)
        _ = try topic(String(repeating: "y", count: 1_000))
        #expect(try misses("first") == 1, "a thousand such names would be two megabytes")
    }

    private func publish(_ json: String, _ content: String = "") throws -> Publish {
        var reader = FrameReader(bounds: .init(headerBytesMax: 65_535, contentBytesMax: 1 << 20))
        let text = String(json.dropLast()) + (json == "{}" ? "" : ",") + "\"content-length\":\(content.utf8.count)}"
        var buffer = ByteBuffer(integer: UInt16(text.utf8.count))
        buffer.writeString(text + content)
        reader.append(buffer)
        guard case .publish(let publish)? = try reader.next() else { throw ApusError(.usage, "no publish: \(json)") }
        return publish
    }

    private func add(_ builder: inout SubmissionBuilder, _ json: String, _ content: String = "") throws(ApusError) {
        let publish: Publish
        do {
            publish = try self.publish(json, content)
        } catch {
            throw ApusError(.internalError, "\(error)")
        }
        try builder.add(
            publish, connection: ConnectionID(hub: 0, number: 1), publisher: nil,
            expectedBytes: publish.content.readableBytes)
    }

    private func code(_ builder: inout SubmissionBuilder, _ json: String) -> ApusError.Code? {
        do throws(ApusError) {
            try add(&builder, json)
            return nil
        } catch {
            return error.code
        }
    }

    private func expect(_ builder: inout SubmissionBuilder, _ json: String, _ expected: ApusError.Code?) {
        let refusal = code(&builder, json)
        #expect(refusal == expected, "\(json.prefix(100))")
    }

    private func taken(_ builder: inout SubmissionBuilder) throws -> Submission {
        let submission = builder.take()
        return try #require(submission)
    }

    private func text(_ slice: Slice, _ submission: Submission) -> String {
        submission.arena.getString(at: Int(slice.offset), length: Int(slice.length)) ?? "?"
    }

    @Test("lie in one arena; topics and encodings stand in it once")
    func sharesWhatIsEqual() throws {
        var builder = builder()
        for index in 0..<6 {
            let encoding = index.isMultiple(of: 2) ? #","content-type":"text/plain""# : ""
            try add(&builder, #"{"topic":"t/\#(index / 2)","key":"k\#(index)"\#(encoding)}"#, "payload \(index)")
        }
        let submission = try taken(&builder)
        #expect(submission.topics.map(\.name) == ["t/0", "t/1", "t/2"])
        #expect(submission.encodings == [try Encoding(contentType: "text/plain"), .undeclared])
        #expect(submission.messages.map(\.topic) == [0, 0, 1, 1, 2, 2])
        #expect(submission.messages.map(\.encoding) == [0, 1, 0, 1, 0, 1])
        #expect(submission.messages.map { text($0.payload, submission) } == (0..<6).map { "payload \($0)" })
        #expect(submission.messages.map { text($0.key, submission) } == (0..<6).map { "k\($0)" })
        #expect(builder.isEmpty)
        // The next turn begins with nothing of this one.
        try add(&builder, #"{"topic":"t/2"}"#)
        let topics = try taken(&builder).topics.map(\.name)
        #expect(topics == ["t/2"])
    }

    @Test("copy what they keep: a small message does not pin a large receive buffer")
    func copies() throws {
        var builder = builder()
        try add(&builder, #"{"topic":"a"}"#, "small")
        let submission = try taken(&builder)
        #expect(submission.bytes < 4_096)
    }

    @Test("one that is refused leaves those beside it alone")
    func refusesOne() throws {
        var builder = builder()
        try add(&builder, #"{"topic":"a"}"#, "1")
        for (json, expected) in [
            (#"{"topic":"$SYS/x"}"#, .notAllowed), (#"{"topic":"a/+"}"#, .invalidTopic), (#"{}"#, .missingField),
            (#"{"topic":""}"#, .missingField), (#"{"topic":"a","byte-order":"middle"}"#, .invalidEncoding),
            (#"{"topic":"a","headers":{"a":1}}"#, .invalidField), (#"{"topic":"a","headers":[["a"]]}"#, .invalidField),
            (#"{"topic":"a\u0000"}"#, .invalidTopic), (#"{"topic":"a","charset":"a\u0000b"}"#, .invalidEncoding),
        ] as [(String, ApusError.Code)] {
            let refusal = code(&builder, json)
            #expect(refusal == expected, "\(json)")
        }
        try add(&builder, #"{"topic":"b"}"#, "2")
        let submission = try taken(&builder)
        #expect(submission.messages.map { text($0.payload, submission) } == ["1", "2"])
        #expect(submission.topics.map(\.name) == ["a", "b"])
        #expect(submission.encodings == [.undeclared])
    }

    @Test("one without a topic goes to the default topic, where there is one")
    func usesTheDefaultTopic() throws {
        var builder = builder(defaultTopic: try Topic("inbox"))
        try add(&builder, "{\"key\":\"k\"}")
        let topics = try taken(&builder).topics.map(\.name)
        #expect(topics == ["inbox"])
    }

    @Test("max-headers: a message with more is refused")
    func boundsHeaders() {
        var builder = builder { $0.headersMax = 2 }
        expect(&builder, #"{"topic":"a","headers":{"a":"1","b":"2"}}"#, nil)
        expect(&builder, #"{"topic":"a","headers":{"a":"1","b":"2","c":"3"}}"#, .tooMany)
        expect(&builder, #"{"topic":"a","headers":[["a","1"],["a","2"],["a","3"]]}"#, .tooMany)
    }

    @Test(
        "headers are stored in one form: an object where names differ, pairs where one repeats",
        arguments: [
            (#"{"a":"1","b":"2"}"#, #"{"a":"1","b":"2"}"#), (#"[["b","2"],["a","1"]]"#, #"{"b":"2","a":"1"}"#),
            (#"[["a","1"],["a","2"]]"#, #"[["a","1"],["a","2"]]"#), (#"{ "a" : "\u00e4" }"#, #"{"a":"ä"}"#),
            ("{}", ""), ("[]", ""),
        ])
    func storesHeadersInOneForm(given: String, stored: String) throws {
        var builder = builder()
        try add(&builder, #"{"topic":"a","headers":\#(given)}"#)
        let submission = try taken(&builder)
        #expect(text(submission.messages[0].headers, submission) == stored)
    }

    @Test("an envelope that a JSON subscriber could not be sent is refused")
    func boundsTheEnvelope() {
        var builder = builder()
        let long = String(repeating: "x", count: 59_000)
        expect(&builder, #"{"topic":"\#(long)"}"#, nil)
        expect(&builder, #"{"topic":"\#(long)","key":"\#(String(repeating: "k", count: 2_000))"}"#, .headerTooLarge)
        // One byte of it becomes six.
        let control = String(repeating: "\\u0001", count: 10_500)
        expect(&builder, #"{"topic":"a","key":"\#(control)"}"#, .headerTooLarge)
    }

    @Test("names that the loop has not seen are counted, also those of refused publishes")
    func countsNewNames() throws {
        var builder = builder()
        try add(&builder, #"{"topic":"a","content-type":"x/y"}"#)
        try add(&builder, #"{"topic":"a","content-type":"x/y"}"#)
        _ = code(&builder, #"{"topic":"b","headers":5}"#)
        let counted = [builder.takeNewNames(), builder.takeNewNames()]
        #expect(counted == [3, 0])
    }
}
