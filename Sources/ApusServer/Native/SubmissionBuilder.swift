// Between station 3 and 4. Runs on the connection's event loop. In: the publishes of a read turn. Out: one submission,
// whose arena holds copies: a slice of 20 bytes would pin the whole receive buffer until it is committed.

internal import ApusBroker
internal import ApusModel
internal import ApusWire
internal import Glibc
internal import NIOCore

/// Collects the publishes of one read turn of one connection.
struct SubmissionBuilder {
    /// What a message's texts may have together, written as JSON: a subscriber that speaks JSON must get a header of
    /// at most 65,535 bytes, with the numbers that the broker adds.
    static let envelopeBytesMax = 60_000

    private let interner: Interner
    private let headersMax: Int
    private let defaultTopic: Topic?
    /// What may be published to. A change holds from the next publish on.
    var rights = TopicRights.everything {
        didSet { allowedLast = nil }
    }
    /// So that who publishes to one topic is asked about it once, not once a turn.
    private var allowedLast: Topic?
    private var submission: Submission?
    private var topicIndices: [Topic: UInt32] = [:]
    private var encodingIndices: [Encoding: UInt32] = [:]
    /// The previous publish's, because the next one mostly has the same.
    private var lastTopic: (topic: Topic, index: UInt32)?
    private var lastEncoding: (raw: [UInt8], index: UInt32)?
    /// Reused, so that comparing costs no allocation.
    private var scratch: [UInt8] = []
    private var newNames = 0
    /// Ids of a named publisher that were refused since its last publish was accepted. Only what is recorded behind them
    /// uses them up: until then they can be sent again.
    private var refused = RefusedIDs()

    init(interner: Interner, limits: Limits, defaultTopic: Topic?) {
        self.interner = interner
        headersMax = limits.headersMax
        self.defaultTopic = defaultTopic
    }

    var isEmpty: Bool { submission == nil }

    /// How many topics and encodings since the last call were new to the event loop.
    mutating func takeNewNames() -> Int {
        defer { newNames = 0 }
        return newNames
    }

    /// The turn's submission; the builder is empty afterwards.
    mutating func take() -> Submission? {
        guard let result = submission else { return nil }
        submission = nil
        topicIndices.removeAll(keepingCapacity: true)
        encodingIndices.removeAll(keepingCapacity: true)
        lastTopic = nil
        lastEncoding = nil
        return result
    }

    /// - Parameter expectedBytes: about how many bytes of the turn are still to come, this publish included.
    /// - Throws: what refuses this one publish; those before and behind it are not touched.
    mutating func add(
        _ publish: Publish, connection: ConnectionID, publisher: PublisherHandle?, expectedBytes: Int
    ) throws(ApusError) {
        let missesBefore = interner.misses
        defer { newNames += interner.misses - missesBefore }
        let topic = try topic(of: publish)
        let encoding = try encoding(of: publish)
        let (headers, key) = try texts(of: publish)
        try checkEnvelope(publish, headers: headers)
        if submission == nil {
            submission = Submission(
                connection: connection, publisher: publisher,
                arena: ByteBufferAllocator().buffer(capacity: max(publish.content.readableBytes, expectedBytes)))
        }
        let message = PendingMessage(
            id: publish.id, hasID: publish.hasID, level: publish.level, isRetained: publish.retain,
            topic: index(of: topic), encoding: index(of: encoding), ttl: publish.ttl, headers: append(headers),
            key: append(key), payload: append(publish.content))
        submission?.messages.append(message)
        if !refused.isEmpty {
            submission?.refused.add(refused, behind: 0)
            refused = RefusedIDs()
        }
    }

    /// A publish of a named publisher goes no further, for good.
    mutating func refuse(id: UInt64, _ code: ApusError.Code) { refused.add(id, code) }

    // MARK: Topic

    private mutating func topic(of publish: Publish) throws(ApusError) -> Topic {
        guard !publish.text.topic.isEmpty else {
            guard let defaultTopic else { throw ApusError(.missingField, "the publish names no topic") }
            try checkRights(defaultTopic)
            return defaultTopic
        }
        let last = lastTopic?.topic
        let interner = interner
        let topic = try publish.fields.withBytes(publish.text.topic) { bytes throws(ApusError) in
            if let last, bytes.holds(last.bytes) { return last }
            return try interner.topic(bytes)
        }
        guard !topic.isReserved else {
            throw ApusError(
                .notAllowed, "clients cannot publish to \"\(topic.name.prefix(80))\"",
                hint: "Topics that begin with '$' are the broker's own.")
        }
        try checkRights(topic)
        return topic
    }

    /// Once for each distinct topic of a turn; nothing on a broker without users.
    private mutating func checkRights(_ topic: Topic) throws(ApusError) {
        if rights.isEverything || allowedLast == topic || topicIndices[topic] != nil { return }
        guard rights.allows(topic) else {
            throw ApusError(
                .notAllowed, "this user may not publish to \"\(topic.name.prefix(80))\"",
                hint: "An administrator grants it: apus user grant USER publish FILTER.")
        }
        allowedLast = topic
    }

    private mutating func index(of topic: Topic) -> UInt32 {
        if let lastTopic, lastTopic.topic == topic { return lastTopic.index }
        let index = topicIndices[topic] ?? UInt32(submission?.topics.count ?? 0)
        if topicIndices.updateValue(index, forKey: topic) == nil {
            submission?.topics.append(topic)
            submission?.nameBytes += topic.cost
        }
        lastTopic = (topic, index)
        return index
    }

    // MARK: Encoding

    private enum Known {
        /// The previous publish's.
        case last(UInt32)
        case encoding(Encoding)
    }

    private mutating func encoding(of publish: Publish) throws(ApusError) -> Known {
        guard publish.text.declaresEncoding else {
            if let lastEncoding, lastEncoding.raw.isEmpty { return .last(lastEncoding.index) }
            scratch.removeAll(keepingCapacity: true)
            return .encoding(.undeclared)
        }
        scratch.removeAll(keepingCapacity: true)
        publish.fields.withUnsafeReadableBytes { bytes in
            for slice in publish.text.encodingSlices {
                scratch += bytes[slice.range]
                scratch.append(0)
            }
        }
        if let lastEncoding, lastEncoding.raw == scratch { return .last(lastEncoding.index) }
        return .encoding(try interner.encoding(scratch, publish.text, publish.fields))
    }

    private mutating func index(of known: Known) -> UInt32 {
        switch known {
        case .last(let index): return index
        case .encoding(let encoding):
            let index = encodingIndices[encoding] ?? UInt32(submission?.encodings.count ?? 0)
            if encodingIndices.updateValue(index, forKey: encoding) == nil { submission?.encodings.append(encoding) }
            lastEncoding = (scratch, index)
            return index
        }
    }

    // MARK: Headers and key

    /// Headers in their one stored form, and the key.
    private func texts(of publish: Publish) throws(ApusError) -> (headers: ByteBuffer?, key: ByteBuffer?) {
        var headers: ByteBuffer?
        if !publish.text.headers.isEmpty {
            let parsed = try publish.text.headers(in: publish.fields)
            guard parsed.pairs.count <= headersMax else {
                throw ApusError(
                    .tooMany, "the message has \(parsed.pairs.count) headers, the limit max-headers is \(headersMax)")
            }
            if !parsed.isEmpty { headers = ByteBuffer(bytes: parsed.json.bytes) }
        }
        guard !publish.text.key.isEmpty else { return (headers, nil) }
        let key = publish.fields.getSlice(
            at: publish.fields.readerIndex + Int(publish.text.key.offset), length: Int(publish.text.key.length))
        guard let key, String(validating: key.readableBytesView, as: UTF8.self) != nil else {
            throw ApusError(.invalidField, "the key is not UTF-8")
        }
        return (headers, key)
    }

    private func checkEnvelope(_ publish: Publish, headers: ByteBuffer?) throws(ApusError) {
        let text = publish.text
        let raw = text.encodingSlices.reduce(Int(text.topic.length + text.key.length)) { $0 + Int($1.length) }
        let headersBytes = headers?.readableBytes ?? 0
        // A byte becomes at most six: `\u0000`.
        guard raw * 6 + headersBytes > SubmissionBuilder.envelopeBytesMax else { return }
        let total = publish.fields.withUnsafeReadableBytes { bytes in
            (text.encodingSlices + [text.topic, text.key]).reduce(headersBytes) { sum, slice in
                var quoted: [UInt8] = []
                JSON.writeString(bytes[slice.range], into: &quoted)
                return sum + quoted.count
            }
        }
        guard total <= SubmissionBuilder.envelopeBytesMax else {
            throw ApusError(
                .headerTooLarge,
                "topic, encoding, headers and key have \(total) bytes as JSON, the limit is \(SubmissionBuilder.envelopeBytesMax)",
                hint: "What is long belongs into the payload.")
        }
    }

    private mutating func append(_ bytes: ByteBuffer?) -> Slice {
        guard let bytes, bytes.readableBytes > 0, let offset = submission?.arena.writerIndex else { return .empty }
        let written = submission?.arena.writeImmutableBuffer(bytes) ?? 0
        return Slice(offset: UInt32(offset), length: UInt32(written))
    }
}

extension ByteBuffer {
    /// The bytes of a slice, with the error's type kept.
    fileprivate func withBytes<Value>(
        _ slice: Slice, _ body: (UnsafeRawBufferPointer) throws(ApusError) -> Value
    ) throws(ApusError) -> Value {
        let result = withUnsafeReadableBytes { bytes in
            Result<Value, ApusError> { () throws(ApusError) in
                try body(UnsafeRawBufferPointer(rebasing: bytes[slice.range]))
            }
        }
        return try result.get()
    }
}

extension UnsafeRawBufferPointer {
    /// Whether these are the same bytes. (`elementsEqual` compares one by one.)
    func holds(_ bytes: [UInt8]) -> Bool {
        guard count == bytes.count, let baseAddress else { return count == bytes.count }
        return bytes.withUnsafeBytes { other in other.baseAddress.map { memcmp(baseAddress, $0, count) == 0 } ?? true }
    }
}
