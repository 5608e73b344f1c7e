import ApusModel
import ApusWire
import NIOCore
import Testing

@testable import ApusClient

@Suite("A client that subscribes", .timeLimit(.minutes(1)))
struct SubscribeTests {
    /// A subscription that the broker has accepted.
    private func subscribed(
        _ client: ApusClient, _ connection: BrokerConnection, from: StartPosition = .now, next: Seq = 1
    ) async throws -> (Subscription, Subscribe) {
        async let subscribing = client.subscribe(["a"], from: from)
        let frame = try await connection.subscribe()
        connection.send(.subscribed(subscription: frame.subscription, next: next))
        return (try await subscribing, frame)
    }

    @Test("Messages come as they were sent, with all that belongs to them")
    func messages() async throws {
        let broker = try await ScriptedBroker.start()
        let (client, connection) = try await broker.connected()
        let (subscription, frame) = try await subscribed(client, connection, from: .last(3), next: 7)
        #expect(frame.from == .last(3))
        #expect(frame.filters.map(\.text) == ["a"])
        #expect(subscription.next == 7)
        let encoding = try Encoding(contentType: "text/plain", charset: "utf-8", byteOrder: "little")
        let bytes = try BrokerConnection.messages(
            [7, 8], subscription: frame.subscription, topic: "a/é", encoding: encoding, headers: #"{"h":"v"}"#, key: "k"
        )
        connection.send(bytes: bytes)
        var iterator = subscription.messages.makeAsyncIterator()
        for seq in [Seq(7), 8] {
            let message = try #require(try await iterator.next())
            #expect(message.seq == seq)
            #expect(message.topic == "a/é")
            #expect(message.encoding == encoding)
            #expect(message.headers == ["h": "v"])
            #expect(message.key == "k")
            #expect(message.receivedAt == Microseconds(seq))
            #expect(String(buffer: message.payload) == "xxx")
        }
    }

    @Test("Topics and encodings that alternate are not mixed up")
    func alternating() throws {
        var decoder = EnvelopeDecoder()
        var reader = FrameReader(bounds: .init(headerBytesMax: 65_535, contentBytesMax: 1 << 20))
        let encodings = try [
            .undeclared, Encoding(charset: "utf-8"), Encoding(contentEncoding: "utf-8"), Encoding(format: "utf-8"),
            Encoding(charset: "utf-8", format: "x"),
        ]
        for round in 0..<50 {
            let encoding = encodings[round * 3 % 5]
            let topic = ["a", "b", "ab"][round % 3]
            reader.append(
                try BrokerConnection.messages([1], subscription: 1, topic: topic, encoding: encoding))
            guard case .message(let envelope) = try reader.next() else { throw Unexpected() }
            let message = try decoder.message(envelope)
            #expect(message.topic == topic)
            #expect(message.encoding == encoding)
        }
    }

    @Test("Frames that arrive byte by byte are read")
    func splitFrames() async throws {
        let broker = try await ScriptedBroker.start()
        let (client, connection) = try await broker.connected()
        let (subscription, frame) = try await subscribed(client, connection)
        var bytes = try BrokerConnection.messages(1...3, subscription: frame.subscription, bytes: 40)
        while let byte = bytes.readSlice(length: 1) { try await connection.channel.writeAndFlush(byte) }
        var iterator = subscription.messages.makeAsyncIterator()
        for seq in Seq(1)...3 {
            let message = try #require(try await iterator.next())
            #expect(message.seq == seq)
            #expect(message.payload.readableBytes == 40)
        }
    }

    @Test("Events keep their place between messages")
    func events() async throws {
        let broker = try await ScriptedBroker.start()
        let (client, connection) = try await broker.connected()
        let (subscription, frame) = try await subscribed(client, connection)
        let number = frame.subscription
        var bytes = try BrokerConnection.messages([1], subscription: number)
        FrameWriter.write(
            .gap(GapNotice(subscription: number, from: 2, to: 5, count: 4, reason: "retention")), .compact, into: &bytes
        )
        bytes.writeImmutableBuffer(try BrokerConnection.messages([6], subscription: number))
        FrameWriter.write(.caughtUp(subscription: number, seq: 6), .compact, into: &bytes)
        bytes.writeImmutableBuffer(try BrokerConnection.messages([7], subscription: number))
        connection.send(bytes: bytes)
        var seen: [String] = []
        for try await event in subscription {
            switch event {
            case .message(let message): seen.append("\(message.seq)")
            case .gap(let from, let through, let count, let reason):
                seen.append("gap \(from)-\(through) \(count) \(reason)")
            case .caughtUp(let seq): seen.append("caught up \(seq)")
            }
            if seen.count == 5 { break }
        }
        #expect(seen == ["1", "gap 2-5 4 retention", "6", "caught up 6", "7"])
        // Leaving the loop has ended it.
        guard case .unsubscribe(number) = await connection.next() else { throw Unexpected() }
    }

    @Test("After a lost connection it goes on after the last message that came")
    func resumes() async throws {
        let broker = try await ScriptedBroker.start()
        let (client, first) = try await broker.connected()
        let (subscription, frame) = try await subscribed(client, first, from: .start)
        try first.messages(1...4, subscription: frame.subscription)
        var iterator = subscription.messages.makeAsyncIterator()
        #expect(try await iterator.next()?.seq == 1)
        first.close()

        let second = try await broker.greet()
        let resumed = try await second.subscribe()
        #expect(resumed.from == .seq(5))
        second.send(.subscribed(subscription: resumed.subscription, next: 5))
        try second.messages(5...6, subscription: resumed.subscription)
        for seq in Seq(2)...6 { #expect(try await iterator.next()?.seq == seq) }
    }

    @Test("In another log it hands out what it has, and ends with log-changed")
    func logChanged() async throws {
        let broker = try await ScriptedBroker.start()
        let (client, first) = try await broker.connected()
        let (subscription, frame) = try await subscribed(client, first)
        try first.messages(1...2, subscription: frame.subscription)
        first.send(.ping)
        guard case .pong = await first.next() else { throw Unexpected() }
        first.close()
        _ = try await broker.greet(log: "log-b")
        var iterator = subscription.makeAsyncIterator()
        for seq in Seq(1)...2 {
            guard case .message(let message) = try await iterator.next() else { throw Unexpected() }
            #expect(message.seq == seq)
        }
        do throws(ApusError) {
            _ = try await iterator.next()
            Issue.record("no error")
        } catch {
            #expect(error.code == .logChanged)
        }
        guard try await iterator.next() == nil else { throw Unexpected() }
    }

    @Test("Credit is given back as messages are consumed, and not before")
    func credit() async throws {
        let broker = try await ScriptedBroker.start()
        let (client, connection) = try await broker.connected()
        let (subscription, frame) = try await subscribed(client, connection)
        let window = Seq(try #require(frame.credit))
        try connection.messages(1...window, subscription: frame.subscription)
        // The ping's answer comes behind whatever the messages have caused.
        connection.send(.ping)
        guard case .pong = await connection.next() else { throw Unexpected() }
        var iterator = subscription.messages.makeAsyncIterator()
        for seq in 1...window { #expect(try await iterator.next()?.seq == seq) }
        #expect(try await connection.credit().credit >= window / 2)
    }

    @Test("One who does not consume is not read without end, and acknowledgements come through all the same")
    func memoryBound() async throws {
        let broker = try await ScriptedBroker.start()
        let (client, connection) = try await broker.connected { $0.receiveBytesMax = 100_000 }
        let (subscription, frame) = try await subscribed(client, connection)
        try connection.messages(1...100, subscription: frame.subscription, bytes: 500)
        async let receipt = client.publish(OutgoingMessage("a"))
        _ = try await connection.publish()
        connection.published(through: 1, seq: 200)
        #expect(try await receipt.seq == 200)

        // More than the credit meant: 50 MB do not fit into what is buffered here and in the sockets.
        let flood = try BrokerConnection.messages(101...150, subscription: frame.subscription, bytes: 1_000_000)
        let flooding = connection.channel.eventLoop.makePromise(of: Void.self)
        connection.channel.writeAndFlush(flood, promise: flooding)
        connection.send(.ping)
        var iterator = subscription.messages.makeAsyncIterator()
        for seq in Seq(1)...150 { #expect(try await iterator.next()?.seq == seq) }
        try await flooding.futureResult.get()
        while let next = await connection.next() {
            if case .pong = next { break }
        }
    }

    @Test("An application that publishes for each message it gets is not locked up by a backlog of large ones")
    func publishesInLoop() async throws {
        let broker = try await ScriptedBroker.start()
        let (client, connection) = try await broker.connected { $0.receiveBytesMax = 50_000 }
        let (subscription, frame) = try await subscribed(client, connection)
        let count = Seq(try #require(frame.credit))
        try connection.messages(1...count, subscription: frame.subscription, bytes: 20_000)
        let looping = Task {
            var answered = 0
            for try await _ in subscription.messages {
                try await client.publish(OutgoingMessage("seen"))
                answered += 1
                if answered == Int(count) { break }
            }
            return answered
        }
        var answered = 0
        while answered < Int(count), let frame = await connection.next() {
            guard case .publish(let publish) = frame else { continue }
            connection.published(through: publish.id, seq: 1_000 + publish.id)
            answered += 1
        }
        #expect(try await looping.value == Int(count))
    }

    @Test("Cancelling ends a subscription: from its task, from outside, and before it is accepted")
    func cancelled() async throws {
        let broker = try await ScriptedBroker.start()
        let (client, connection) = try await broker.connected()

        let (first, frame) = try await subscribed(client, connection)
        let iterating = Task {
            for try await _ in first {}
            return true
        }
        iterating.cancel()
        #expect(try await iterating.value)
        guard case .unsubscribe(frame.subscription) = await connection.next() else { throw Unexpected() }

        let (second, _) = try await subscribed(client, connection)
        second.cancel()
        for try await _ in second { Issue.record("a message from nowhere") }
        guard case .unsubscribe = await connection.next() else { throw Unexpected() }

        let subscribing = Task { await error { try await client.subscribe(["b"]) } }
        _ = try await connection.subscribe()
        subscribing.cancel()
        #expect(await subscribing.value?.code == .cancelled)
    }

    @Test("Closing the client ends its subscriptions without an error")
    func closed() async throws {
        let broker = try await ScriptedBroker.start()
        let (client, connection) = try await broker.connected()
        let (subscription, _) = try await subscribed(client, connection)
        let iterating = Task {
            for try await _ in subscription {}
            return true
        }
        async let left = client.close()
        await connection.end()
        #expect(await left.isEmpty)
        #expect(try await iterating.value)
    }

    @Test("A filter that cannot be is refused here, one that may not be by the broker")
    func refused() async throws {
        let broker = try await ScriptedBroker.start()
        let (client, connection) = try await broker.connected()
        #expect(await error { try await client.subscribe(["a/#/b"]) }?.code == .invalidFilter)
        #expect(await error { try await client.subscribe([]) }?.code == .usage)
        async let failure = error { try await client.subscribe(["a"]) }
        let number = try await connection.subscribe().subscription
        connection.send(.error(ErrorReply(ApusError(.tooMany, "too many"), subscription: number)))
        #expect(await failure?.code == .tooMany)
    }

    // MARK: Queries

    @Test("History comes row by row and ends with the broker's end")
    func history() async throws {
        let broker = try await ScriptedBroker.start()
        let (client, connection) = try await broker.connected()
        var wanted = HistoryQuery(filters: ["a/#"])
        wanted.conditions.last = 2
        wanted.conditions.headers = ["h": "v"]
        let rows = try await client.history(wanted)
        let query = try await connection.query()
        #expect(query.select == .history)
        #expect(query.conditions.last == 2)
        #expect(query.filters.map(\.text) == ["a/#"])
        #expect(query.conditions.headers == ["h": "v"])
        #expect((query.credit ?? 0) > 0)
        for seq in Seq(4)...5 {
            try connection.row(query: query.query, seq: seq, topic: "a/b", text: "x\(seq)", publisher: "p")
        }
        connection.send(.end(QueryEnd(query: query.query, count: 2, reason: "complete")))
        var seen: [String] = []
        for try await message in rows {
            seen.append("\(message.seq) \(message.topic) \(String(buffer: message.payload)) \(message.publisher ?? "")")
        }
        #expect(seen == ["4 a/b x4 p", "5 a/b x5 p"])
    }

    @Test("Topics and status are what the broker says")
    func topicsAndStatus() async throws {
        let broker = try await ScriptedBroker.start()
        let (client, connection) = try await broker.connected()
        async let topics = client.topics([])
        let first = try await connection.query()
        #expect(first.select == .topics)
        connection.row(
            query: first.query,
            json: .object([
                .init("topic", .string("a")), .init("messages", .integer(3)), .init("last-seq", .integer(9)),
            ]))
        connection.send(.end(QueryEnd(query: first.query, count: 1, reason: "complete")))
        #expect(try await topics == [TopicInfo(topic: "a", messages: 3, lastSeq: 9)])

        async let status = client.status()
        let second = try await connection.query()
        #expect(second.select == .status)
        connection.row(query: second.query, json: .object([]))
        connection.send(.end(QueryEnd(query: second.query, count: 1, reason: "complete")))
        #expect(try await status == "{}")
    }

    @Test("A query that runs while the client closes gets all its rows")
    func queryWhileClosing() async throws {
        let broker = try await ScriptedBroker.start()
        let (client, connection) = try await broker.connected()
        let rows = try await client.history(HistoryQuery())
        let number = try await connection.query().query
        async let seqs = rows.reduce(into: [Seq]()) { $0.append($1.seq) }
        // Closing has begun when this returns.
        let closing = Task.immediate { await client.close() }
        #expect(await error { try await client.topics([]) }?.code == .closed)
        connection.send(.ping)
        guard case .pong = await connection.next() else { throw Unexpected() }
        try connection.row(query: number, seq: 5, topic: "a", text: "x", publisher: "")
        connection.send(.end(QueryEnd(query: number, count: 1, reason: "complete")))
        #expect(try await seqs == [5])
        await connection.end()
        #expect(await closing.value.isEmpty)
    }

    @Test("A query that fails throws the broker's error, one that is left is cancelled at the broker")
    func queryEnds() async throws {
        let broker = try await ScriptedBroker.start()
        let (client, connection) = try await broker.connected()
        async let failure = error { try await client.status() }
        let number = try await connection.query().query
        connection.send(.error(ErrorReply(ApusError(.queryFailed, "no"), query: number)))
        #expect(await failure?.code == .queryFailed)

        var rows: HistoryRows? = try await client.history(HistoryQuery())
        let other = try await connection.query().query
        #expect(rows != nil)
        rows = nil
        guard case .end(let end) = await connection.next() else { throw Unexpected() }
        #expect(end.query == other)
    }
}
