import ApusClient
import ApusModel
import ApusWire
import NIOCore
import NIOPosix
import Testing

/// A broker that does what a test tells it, frame by frame, on a port of the kernel's choice.
final class ScriptedBroker {
    private let channel: any Channel
    private var connections: AsyncStream<BrokerConnection.Parts>.Iterator

    private init(channel: any Channel, connections: AsyncStream<BrokerConnection.Parts>) {
        self.channel = channel
        self.connections = connections.makeAsyncIterator()
    }

    static func start(unixPath: String? = nil, receiveBufferBytes: Int? = nil) async throws -> ScriptedBroker {
        let (stream, continuation) = AsyncStream.makeStream(of: BrokerConnection.Parts.self)
        var bootstrap = ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let (frames, sink) = AsyncStream.makeStream(of: Frame.self)
                    try channel.pipeline.syncOperations.addHandler(FrameHandler(sink: sink))
                    continuation.yield(BrokerConnection.Parts(channel: channel, frames: frames))
                }
            }
        if let receiveBufferBytes {
            bootstrap = bootstrap.serverChannelOption(
                .socketOption(.so_rcvbuf), value: SocketOptionValue(receiveBufferBytes))
        }
        let channel =
            if let unixPath {
                try await bootstrap.bind(unixDomainSocketPath: unixPath).get()
            } else {
                try await bootstrap.bind(host: "127.0.0.1", port: 0).get()
            }
        return ScriptedBroker(channel: channel, connections: stream)
    }

    var port: Int { channel.localAddress?.port ?? 0 }

    func configuration() throws -> ClientConfiguration {
        var configuration = ClientConfiguration(endpoint: try Endpoint("127.0.0.1:\(port)"))
        configuration.backoffMilliseconds = 1...5
        return configuration
    }

    /// The next connection.
    func accept() async throws -> BrokerConnection {
        BrokerConnection(try #require(await connections.next(isolation: #isolation), "no connection came"))
    }

    /// The next connection, with its hello read and answered.
    func greet(log: String = "log-a", lastID: UInt64? = nil, keepAlive: UInt64 = 0) async throws -> BrokerConnection {
        let connection = try await accept()
        _ = try await connection.hello()
        connection.welcome(log: log, lastID: lastID, keepAlive: keepAlive)
        return connection
    }

    /// A client that is connected, and its connection at the broker.
    func connected(
        lastID: UInt64? = nil, keepAlive: UInt64 = 0, limits: [String: UInt64] = [:],
        _ change: (inout ClientConfiguration) -> Void = { _ in }
    ) async throws -> (ApusClient, BrokerConnection) {
        var configuration = try configuration()
        change(&configuration)
        async let connecting = ApusClient.connect(configuration)
        let connection = try await accept()
        _ = try await connection.hello()
        connection.welcome(lastID: lastID, keepAlive: keepAlive, limits: limits)
        return (try await connecting, connection)
    }

    func stop() async throws { try await channel.close() }

    deinit { channel.close(promise: nil) }
}

/// One connection as the broker has it.
final class BrokerConnection {
    struct Parts: Sendable {
        var channel: any Channel
        var frames: AsyncStream<Frame>
    }

    let channel: any Channel
    private var frames: AsyncStream<Frame>.Iterator

    init(_ parts: Parts) {
        channel = parts.channel
        frames = parts.frames.makeAsyncIterator()
    }

    /// The next frame from the client; nil when it has closed.
    func next() async -> Frame? { await frames.next(isolation: #isolation) }

    func hello() async throws -> Hello {
        guard case .hello(let hello) = await next() else { throw Unexpected() }
        return hello
    }

    func publish() async throws -> Publish {
        guard case .publish(let publish) = await next() else { throw Unexpected() }
        return publish
    }

    func publishes(_ count: Int) async throws -> [Publish] {
        var publishes: [Publish] = []
        for _ in 0..<count { publishes.append(try await publish()) }
        return publishes
    }

    func subscribe() async throws -> Subscribe {
        guard case .subscribe(let subscribe) = await next() else { throw Unexpected() }
        return subscribe
    }

    func query() async throws -> Query {
        guard case .query(let query) = await next() else { throw Unexpected() }
        return query
    }

    func credit() async throws -> Credit {
        guard case .credit(let credit) = await next() else { throw Unexpected() }
        return credit
    }

    /// Reads to the client's end of the conversation, answering its goodbye by closing.
    func end() async {
        while let frame = await next() {
            if case .goodbye = frame { close() }
        }
    }

    func send(_ frames: Frame...) {
        var out = ByteBuffer()
        for frame in frames { FrameWriter.write(frame, .compact, into: &out) }
        send(bytes: out)
    }

    func send(bytes: ByteBuffer) { channel.writeAndFlush(bytes, promise: nil) }

    func welcome(
        log: String = "log-a", lastID: UInt64? = nil, keepAlive: UInt64 = 0, limits: [String: UInt64] = [:]
    ) {
        send(.welcome(Welcome(clientID: "c", log: log, lastID: lastID, keepAlive: keepAlive, limits: limits)))
    }

    func published(through id: UInt64, count: UInt64 = 1, seq: Seq, duplicate: Bool = false) {
        send(
            .published(
                PublishedRun(lastID: id, count: count, lastSeq: seq, level: .synced, isDuplicate: duplicate)))
    }

    func messages(_ seqs: some Sequence<Seq>, subscription: UInt32, topic: String = "a", bytes: Int = 3) throws {
        send(bytes: try BrokerConnection.messages(seqs, subscription: subscription, topic: topic, bytes: bytes))
    }

    static func messages(
        _ seqs: some Sequence<Seq>, subscription: UInt32, topic: String = "a", bytes: Int = 3,
        encoding: Encoding = .undeclared, headers: String = "", key: String = ""
    ) throws -> ByteBuffer {
        let fragment = EnvelopeFragment(topic: try Topic(topic), encoding: encoding, way: .compact)
        let payload = [UInt8](repeating: 0x78, count: bytes)
        var out = ByteBuffer()
        for seq in seqs {
            payload.withUnsafeBytes { payload in
                Array(headers.utf8).withUnsafeBytes { headers in
                    Array(key.utf8).withUnsafeBytes { key in
                        EnvelopeWriter.message(
                            .subscription(subscription), seq: seq, time: Microseconds(seq), isRetained: false,
                            fragment: fragment, content: .init(headers: headers, key: key, payload: payload),
                            way: .compact, into: &out)
                    }
                }
            }
        }
        return out
    }

    /// A row of history.
    func row(query: UInt32, seq: Seq, topic: String, text: String, publisher: String) throws {
        let fragment = EnvelopeFragment(topic: try Topic(topic), encoding: .undeclared, way: .compact)
        var out = ByteBuffer()
        Array(text.utf8).withUnsafeBytes { payload in
            let none = UnsafeRawBufferPointer(start: nil, count: 0)
            EnvelopeWriter.message(
                .query(query, publisher: publisher), seq: seq, time: 9, isRetained: false, fragment: fragment,
                content: .init(headers: none, key: none, payload: payload), way: .compact, into: &out)
        }
        send(bytes: out)
    }

    /// A row of topics or status.
    func row(query: UInt32, json: JSON) {
        var out = ByteBuffer()
        EnvelopeWriter.row(query: query, json: json, way: .compact, into: &out)
        send(bytes: out)
    }

    func stopReading() async throws { try await channel.setOption(.autoRead, value: false).get() }
    func startReading() async throws { try await channel.setOption(.autoRead, value: true).get() }

    func close() { channel.close(promise: nil) }
}

struct Unexpected: Error {}

private final class FrameHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let sink: AsyncStream<Frame>.Continuation
    private var reader = FrameReader(bounds: .init(headerBytesMax: 65_535, contentBytesMax: 1 << 24))

    init(sink: AsyncStream<Frame>.Continuation) { self.sink = sink }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        reader.append(unwrapInboundIn(data))
        while let frame = try? reader.next() { sink.yield(frame) }
        reader.settle()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    func channelInactive(context: ChannelHandlerContext) { sink.finish() }
}

extension OutgoingMessage {
    init(_ text: String, topic: String = "a", level: AckLevel = .synced) {
        self.init(topic: topic, text: text, level: level)
    }
}

/// The error that `body` throws; nil, and the test fails, where it throws none or another.
func error(
    _ body: () async throws -> some Any, sourceLocation: SourceLocation = #_sourceLocation
) async -> ApusError? {
    do {
        _ = try await body()
        Issue.record("no error", sourceLocation: sourceLocation)
        return nil
    } catch {
        guard let error = error as? ApusError else {
            Issue.record("\(error)", sourceLocation: sourceLocation)
            return nil
        }
        return error
    }
}
