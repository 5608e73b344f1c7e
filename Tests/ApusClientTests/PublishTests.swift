import ApusModel
import ApusTesting
import ApusWire
import NIOCore
import Testing

@testable import ApusClient

@Suite("A client that publishes", .timeLimit(.minutes(1)))
struct PublishTests {
    @Test("A publish returns the seq that the broker acknowledged")
    func acknowledged() async throws {
        let broker = try await ScriptedBroker.start()
        let (client, connection) = try await broker.connected()
        #expect(client.state == .connected)
        #expect(client.welcome.log == "log-a")

        var message = OutgoingMessage("hallo")
        message.headers = ["a": "1"]
        message.key = "k"
        message.ttlSeconds = 60
        message.retain = true
        async let receipt = client.publish(message)
        let publish = try await connection.publish()
        #expect(publish.hasID)
        #expect(publish.id == 1)
        #expect(publish.ttl == 60)
        #expect(publish.retain)
        #expect(publish.level == .synced)
        #expect(String(buffer: publish.content) == "hallo")
        connection.published(through: 1, seq: 41)
        #expect(try await receipt == Receipt(seq: 41, level: .synced))

        async let left = client.close()
        await connection.end()
        #expect(await left.isEmpty)
        #expect(client.state == .closed)
        #expect(await error { try await client.publish(OutgoingMessage("late")) }?.code == .closed)
        #expect(await client.close().isEmpty)
    }

    @Test("Many messages travel without waiting for each other, each with its receipt")
    func pipelined() async throws {
        let broker = try await ScriptedBroker.start()
        let (client, connection) = try await broker.connected()
        let messages = (0..<5_000).map { OutgoingMessage("message \($0)", topic: "t/\($0 % 7)") }
        async let receipts = client.publish(messages)
        let publishes = try await connection.publishes(5_000)
        #expect(publishes.map(\.id) == Array(1...5_000))
        #expect(publishes.map { String(buffer: $0.content) } == (0..<5_000).map { "message \($0)" })
        for id in stride(from: UInt64(100), through: 5_000, by: 100) {
            connection.published(through: id, count: 100, seq: id + 7)
        }
        #expect(try await receipts.map(\.seq) == Array(8...5_007))
    }

    @Test("A named publisher sends again over the next connection, and what is recorded counts as a duplicate")
    func resends() async throws {
        let broker = try await ScriptedBroker.start()
        let (client, first) = try await broker.connected(lastID: 10) { $0.publisher = "p" }
        async let receipts = client.publish((0..<4).map { OutgoingMessage("\($0)") })
        #expect(try await first.publishes(4).map(\.id) == [11, 12, 13, 14])
        first.close()

        let second = try await broker.accept()
        #expect(try await second.hello().publisher == "p")
        second.welcome(lastID: 12)
        let again = try await second.publishes(2)
        #expect(again.map(\.id) == [13, 14])
        #expect(again.map { String(buffer: $0.content) } == ["2", "3"])
        second.published(through: 14, count: 2, seq: 21)
        let duplicate = Receipt(seq: 0, level: .synced, isDuplicate: true)
        #expect(
            try await receipts
                == [duplicate, duplicate, Receipt(seq: 20, level: .synced), Receipt(seq: 21, level: .synced)])
        #expect(client.state == .connected)
    }

    @Test("Without a name, what was in flight fails: whether it is recorded is unknown")
    func unnamedInFlight() async throws {
        let broker = try await ScriptedBroker.start()
        let (client, first) = try await broker.connected()
        async let failure = error { try await client.publish(OutgoingMessage("a")) }
        _ = try await first.publish()
        first.close()
        let lost = await failure
        #expect(lost?.code == .connectionLost)
        #expect(lost?.hint?.contains("unknown") == true)

        let second = try await broker.greet()
        async let receipt = client.publish(OutgoingMessage("b"))
        #expect(try await second.publish().id == 2)
        second.published(through: 2, seq: 5)
        #expect(try await receipt.seq == 5)
    }

    @Test("A broker that does not read is not written to beyond the bound, and the next publish waits")
    func backPressure() async throws {
        let broker = try await ScriptedBroker.start(receiveBufferBytes: 4_096)
        let (client, connection) = try await broker.connected {
            $0.unsentBytesMax = 1 << 20
            $0.publishTimeoutMilliseconds = 500
        }
        try await connection.stopReading()
        let payload = ByteBuffer(repeating: 0x78, count: 100_000)
        let message = OutgoingMessage(topic: "a", payload: payload)
        var handedOver = 0
        var refusal: ApusError?
        while refusal == nil, handedOver < 1_000 {
            do throws(ApusError) {
                try await client.enqueue([message])
                handedOver += 1
            } catch {
                refusal = error
            }
        }
        #expect(handedOver == 10)
        #expect(refusal?.code == .timedOut)
        #expect(refusal?.message.contains("not reading") == true)

        try await connection.startReading()
        #expect(try await connection.publishes(10).last?.id == 10)
        connection.published(through: 10, count: 10, seq: 10)
        try await client.flush()
        async let receipt = client.publish(message)
        #expect(try await connection.publish().id == 11)
        connection.published(through: 11, seq: 11)
        #expect(try await receipt.seq == 11)
    }

    @Test("A cancelled publish throws, whether it waits for room or for its answer")
    func cancelled() async throws {
        let broker = try await ScriptedBroker.start()
        let (client, connection) = try await broker.connected { $0.unsentBytesMax = 300 }
        let inFlight = Task { await error { try await client.publish(OutgoingMessage("a")) } }
        _ = try await connection.publish()
        let waiting = Task {
            await error { try await client.publish([OutgoingMessage("b"), OutgoingMessage("c")]) }
        }
        waiting.cancel()
        #expect(await waiting.value?.code == .cancelled)
        inFlight.cancel()
        #expect(await inFlight.value?.code == .cancelled)
        let early = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return await error { try await client.publish(OutgoingMessage("d")) }
        }
        #expect(await early.value?.code == .cancelled)
    }

    @Test("What is enqueued fails in the next flush, once")
    func enqueue() async throws {
        let broker = try await ScriptedBroker.start()
        let (client, connection) = try await broker.connected()
        try await client.enqueue([OutgoingMessage("a"), OutgoingMessage("b")])
        async let failure = error { try await client.flush() }
        _ = try await connection.publishes(2)
        connection.send(.error(ErrorReply(ApusError(.notAllowed, "not there"), id: 1, count: 1)))
        connection.published(through: 2, seq: 1)
        #expect(await failure?.code == .notAllowed)
        try await client.flush()
        let flush = Task {
            try? await client.enqueue([OutgoingMessage("c")])
            return await error { try await client.flush() }
        }
        _ = try await connection.publish()
        flush.cancel()
        #expect(await flush.value?.code == .cancelled)
    }

    @Test("An error of the broker comes as it was sent")
    func errorMapping() async throws {
        let broker = try await ScriptedBroker.start()
        let (client, connection) = try await broker.connected()
        async let failure = error { try await client.publish(OutgoingMessage("a")) }
        _ = try await connection.publish()
        let sent = ApusError(.storageFull, "the disk is full", hint: "Delete something.")
        connection.send(.error(ErrorReply(sent, id: 1, count: 1)))
        #expect(await failure == sent)
    }

    @Test("publishEach says what became of each message, also of one that cannot be sent")
    func each() async throws {
        let broker = try await ScriptedBroker.start()
        let (client, connection) = try await broker.connected(limits: ["max-message-bytes": 4])
        let messages = [
            OutgoingMessage("one"), OutgoingMessage("too long"), OutgoingMessage("two"),
            OutgoingMessage("x", topic: "a/#"), OutgoingMessage("six"),
        ]
        async let results = client.publishEach(messages)
        #expect(try await connection.publishes(3).map { String(buffer: $0.content) } == ["one", "two", "six"])
        connection.send(.error(ErrorReply(ApusError(.notAllowed, "not there"), id: 2, count: 1)))
        connection.published(through: 3, count: 1, seq: 8)
        let codes = await results.map(\.code)
        #expect(codes == [nil, .messageTooLarge, .notAllowed, .invalidTopic, nil])
        #expect(await results.last?.value?.seq == 8)
        #expect(await client.publishEach([]).isEmpty)
        // The one that throws sends nothing of such a batch.
        #expect(await error { try await client.publish(messages) }?.code == .messageTooLarge)
    }

    @Test("What was submitted is answered later, and ends with the client")
    func submit() async throws {
        let broker = try await ScriptedBroker.start()
        let (client, connection) = try await broker.connected { $0.reconnects = false }
        let first = await client.submit([OutgoingMessage("a"), OutgoingMessage("b", topic: "")])
        let second = await client.submit([OutgoingMessage("c")])
        #expect(try await connection.publishes(2).map(\.id) == [1, 2])
        #expect(!first.isAnswered)
        connection.published(through: 1, seq: 5)
        #expect(await first.results().map(\.code) == [nil, .invalidTopic])
        #expect(first.isAnswered)
        #expect(!second.isAnswered)
        connection.close()
        let last = await second.results()
        #expect(last.map(\.code) == [.connectionLost])
        guard case .failure(let error) = last.first else { throw Unexpected() }
        #expect(error.isOutcomeUnknown)
        let late = await client.submit([OutgoingMessage("d")]).results()
        #expect(late.count == 1)
        #expect(late.allSatisfy { $0.value == nil })
    }

    @Test("While a large message is on its way to a slow broker, it says how far it is")
    func progress() async throws {
        let broker = try await ScriptedBroker.start(receiveBufferBytes: 4_096)
        let told = Watched<[(sent: Int, total: Int)]>([])
        let (client, connection) = try await broker.connected {
            $0.onSendProgress = { sent, total in told.change { $0.append((sent, total)) } }
        }
        try await connection.stopReading()
        let size = 15 << 20
        async let receipt = client.publish(OutgoingMessage(topic: "a", payload: ByteBuffer(repeating: 1, count: size)))
        try await onThread { try told.wait("the first piece") { !$0.isEmpty } }
        // The broker reads nothing: the system's buffers are full before all of it is sent.
        #expect(told.value.allSatisfy { $0.sent < size })
        try await connection.startReading()
        #expect(try await connection.publish().content.readableBytes == size)
        connection.published(through: 1, seq: 1)
        #expect(try await receipt.seq == 1)
        let all = told.value
        #expect(Set(all.map(\.total)).count == 1)
        #expect(all.map(\.sent) == all.map(\.sent).sorted())
        #expect(all.last?.sent == all.last?.total)
        #expect((all.last?.total ?? 0) >= size)
        #expect(all.count >= size / ClientConfiguration.progressBytes)
        // Small ones are not told of.
        async let small = client.publish(OutgoingMessage("small"))
        _ = try await connection.publish()
        connection.published(through: 2, seq: 2)
        #expect(try await small.seq == 2)
        #expect(told.value.count == all.count)
    }

    @Test("Closing returns what was not acknowledged in time")
    func closeReturnsTheRest() async throws {
        let broker = try await ScriptedBroker.start()
        let (client, connection) = try await broker.connected()
        try await client.enqueue((0..<3).map { OutgoingMessage("\($0)") })
        _ = try await connection.publishes(3)
        connection.published(through: 1, seq: 1)
        let left = await client.close(timeoutMilliseconds: 100)
        #expect(left.map { String(buffer: $0.payload) }.suffix(2) == ["1", "2"])
        guard case .goodbye = await connection.next() else { throw Unexpected() }
    }

    @Test("Closing loses nothing that is on its way without acknowledgement")
    func closeWithoutAcknowledgements() async throws {
        let broker = try await ScriptedBroker.start()
        let (client, connection) = try await broker.connected()
        let messages = (0..<2_000).map { OutgoingMessage("\($0)", level: .none) }
        #expect(try await client.publish(messages).allSatisfy { $0.seq == 0 && $0.level == .none })
        async let left = client.close()
        #expect(try await connection.publishes(2_000).last?.id == 2_000)
        await connection.end()
        #expect(await left.isEmpty)
    }
}

/// Runs what blocks on a thread of its own.
private func onThread(_ body: @escaping @Sendable () throws -> Void) async throws {
    try await withCheckedThrowingContinuation { continuation in
        ApusTesting.onThread { continuation.resume(with: Result { try body() }) }
    }
}
