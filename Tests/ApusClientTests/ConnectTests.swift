import ApusModel
import ApusWire
import Glibc
import NIOCore
import NIOPosix
import Testing

@testable import ApusClient

@Suite("A client that connects", .timeLimit(.minutes(1)))
struct ConnectTests {
    @Test("A refused connection says which addresses were tried and what came of each")
    func refused() async throws {
        // A port that was free a moment ago.
        let broker = try await ScriptedBroker.start()
        let port = broker.port
        try await broker.stop()
        let numeric = ClientConfiguration(endpoint: try Endpoint("127.0.0.1:\(port)"))
        let first = await error { try await ApusClient.connect(numeric) }
        #expect(first?.code == .unavailable)
        #expect(first?.message.contains("127.0.0.1:\(port)") == true)
        #expect(first?.message.contains("connection refused") == true)

        let named = ClientConfiguration(endpoint: try Endpoint("localhost:\(port)"))
        let second = await error { try await ApusClient.connect(named) }
        #expect(second?.code == .unavailable)
        #expect(second?.message.contains("127.0.0.1:\(port): connection refused") == true)

        let unix = ClientConfiguration(endpoint: try Endpoint("apus+unix:///nowhere/apus.sock"))
        let third = await error { try await ApusClient.connect(unix) }
        #expect(third?.code == .unavailable)
        #expect(third?.message.contains("/nowhere/apus.sock") == true)
    }

    @Test("A name without an address is named")
    func unknownHost() async throws {
        let configuration = ClientConfiguration(endpoint: try Endpoint("no-such-host.invalid"))
        let failure = await error { try await ApusClient.connect(configuration) }
        #expect(failure?.code == .unavailable)
        #expect(failure?.message.contains("no-such-host.invalid") == true)
    }

    @Test("What answers in another protocol is called no broker, not a broken one")
    func otherProtocol() async throws {
        for answer in ["HTTP/1.1 400 Bad Request\r\n\r\n", "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"] {
            let stranger = try await ScriptedBroker.start()
            let configuration = try stranger.configuration()
            async let failing = error { try await ApusClient.connect(configuration) }
            try await stranger.accept().send(bytes: ByteBuffer(string: answer))
            let failure = await failing
            #expect(failure?.code == .unavailable)
            #expect(failure?.message.contains("no Apus broker") == true, "\(String(describing: failure))")
            #expect(failure?.hint?.contains("2787") == true)
        }
    }

    @Test("The host's name is tried at all its addresses")
    func allAddresses() async throws {
        // The broker listens at 127.0.0.1 only; localhost may be ::1 too.
        let broker = try await ScriptedBroker.start()
        var configuration = try broker.configuration()
        configuration.endpoint = try Endpoint("localhost:\(broker.port)")
        async let connecting = ApusClient.connect(configuration)
        _ = try await broker.greet()
        #expect(try await connecting.state == .connected)
    }

    @Test("A unix socket will do")
    func unixSocket() async throws {
        let path = "/tmp/apus-client-\(getpid())-\(UInt32.random(in: 0 ... .max)).sock"
        defer { unlink(path) }
        let broker = try await ScriptedBroker.start(unixPath: path)
        let configuration = ClientConfiguration(endpoint: try Endpoint("apus+unix://\(path)"))
        async let connecting = ApusClient.connect(configuration)
        _ = try await broker.greet()
        #expect(try await connecting.state == .connected)
    }

    @Test("The credentials of the address and the names go into the hello")
    func hello() async throws {
        let broker = try await ScriptedBroker.start()
        var configuration = try broker.configuration()
        configuration.endpoint = try Endpoint("apus://u%40x:p%3Aw@127.0.0.1:\(broker.port)")
        configuration.clientID = "me"
        configuration.keepAliveSeconds = 7
        async let connecting = ApusClient.connect(configuration)
        let connection = try await broker.accept()
        let hello = try await connection.hello()
        #expect(hello.user == "u@x")
        #expect(hello.password == "p:w")
        #expect(hello.clientID == "me")
        #expect(hello.keepAlive == 7)
        #expect(hello.publisher == nil)
        connection.send(.error(ErrorReply(.fatal(.notAllowed, "wrong password"))))
        do {
            _ = try await connecting
            Issue.record("no error")
        } catch {
            #expect((error as? ApusError)?.code == .notAllowed)
        }
    }

    @Test("Connecting can be cancelled while the broker says nothing")
    func cancelled() async throws {
        let broker = try await ScriptedBroker.start()
        let configuration = try broker.configuration()
        let connecting = Task { await error { try await ApusClient.connect(configuration) } }
        let connection = try await broker.accept()
        _ = try await connection.hello()
        connecting.cancel()
        #expect(await connecting.value?.code == .cancelled)
        #expect(await connection.next() == nil)
    }

    @Test("One that waits for its broker connects when it comes")
    func waits() async throws {
        let path = "/tmp/apus-client-\(getpid())-\(UInt32.random(in: 0 ... .max)).sock"
        defer { unlink(path) }
        var configuration = ClientConfiguration(endpoint: try Endpoint("apus+unix://\(path)"))
        configuration.waitsForBroker = true
        configuration.backoffMilliseconds = 1...5
        async let connecting = ApusClient.connect(configuration)
        let broker = try await ScriptedBroker.start(unixPath: path)
        _ = try await broker.greet()
        #expect(try await connecting.state == .connected)
    }

    @Test("Its states can be watched: connected, reconnecting with the reason, connected, closed")
    func states() async throws {
        let broker = try await ScriptedBroker.start()
        let (client, first) = try await broker.connected()
        var states = client.states().makeAsyncIterator()
        #expect(await states.next() == .connected)
        first.close()
        guard case .reconnecting(attempt: 1, let reason) = await states.next() else { throw Unexpected() }
        #expect(reason.code == .connectionLost)
        let second = try await broker.greet()
        #expect(await states.next() == .connected)
        async let left = client.close()
        await second.end()
        _ = await left
        #expect(await states.next() == .closed)
        #expect(await states.next() == nil)
    }

    @Test("A client that nobody holds any more says goodbye and closes")
    func dropped() async throws {
        let broker = try await ScriptedBroker.start()
        var (client, connection): (ApusClient?, BrokerConnection) = try await broker.connected()
        #expect(client?.state == .connected)
        client = nil
        guard case .goodbye = await connection.next() else { throw Unexpected() }
        #expect(await connection.next() == nil)
    }

    @Test("Bytes that are no frames never do more than end the connection", arguments: UInt64(1)...30)
    func garbage(seed: UInt64) async throws {
        let broker = try await ScriptedBroker.start()
        let (client, connection) = try await broker.connected { $0.reconnects = false }
        async let failure = error { try await client.publish(OutgoingMessage("a")) }
        _ = try await connection.publish()
        var random = Backoff(milliseconds: 1...1_000_000, seed: seed)
        var bytes = try BrokerConnection.messages(1...20, subscription: 1)
        connection.send(.published(PublishedRun(lastID: 9, count: 1, lastSeq: 1, level: .synced, isDuplicate: false)))
        for _ in 0..<5 {
            bytes.setInteger(UInt8(truncatingIfNeeded: random.next()), at: random.next() % bytes.writerIndex)
        }
        connection.send(bytes: bytes)
        connection.close()
        #expect(await failure != nil)
    }
}

@Suite("An endpoint")
struct EndpointTests {
    @Test(
        "An address is read as it is written",
        arguments: [
            ("broker", "apus://broker:2787"),
            ("broker:99", "apus://broker:99"),
            ("apus://broker", "apus://broker:2787"),
            ("apus://broker:99/", "apus://broker:99"),
            ("APUS://broker", "apus://broker:2787"),
            ("127.0.0.1", "apus://127.0.0.1:2787"),
            ("[::1]", "apus://[::1]:2787"),
            ("[::1]:99", "apus://[::1]:99"),
            ("::1", "apus://[::1]:2787"),
            ("[fe80::1%eth0]:99", "apus://[fe80::1%eth0]:99"),
            ("apus://[fe80::1%25eth0]", "apus://[fe80::1%eth0]:2787"),
            ("apus://me@broker", "apus://me@broker:2787"),
            ("apus://me:secret@broker:99", "apus://me@broker:99"),
            ("apus://a%40b:s@broker", "apus://a%40b@broker:2787"),
            ("apus+unix:///run/apus.sock", "apus+unix:///run/apus.sock"),
            ("apus+unix://me:secret@/run/apus.sock", "apus+unix://me@/run/apus.sock"),
        ])
    func reads(text: String, description: String) throws {
        let endpoint = try Endpoint(text)
        #expect(endpoint.description == description)
        #expect(!endpoint.description.contains("secret"))
    }

    @Test(
        "An address that cannot be is refused with usage",
        arguments: [
            "", "apus://", ":99", "broker:", "broker:0", "broker:65536", "broker:9x", "http://broker", "[::1", "[::1]x",
            "apus://broker/path", "apus://@broker", "apus+unix://host/path", "apus+unix://", "a b", "apus://%zz@broker",
            "me:secret@broker",
        ])
    func refuses(text: String) {
        do throws(ApusError) {
            Issue.record("read as \(try Endpoint(text))")
        } catch {
            #expect(error.code == .usage)
        }
    }

    @Test("With TLS it has its own scheme and port")
    func tls() throws {
        let endpoint = try Endpoint("apuss://me:secret@broker")
        #expect(endpoint.isTLS)
        #expect(endpoint.description == "apuss://me@broker:2789")
        #expect(try Endpoint("apuss://[::1]:99").description == "apuss://[::1]:99")
        #expect(try !Endpoint("apus://broker").isTLS)
    }

    @Test("The local one is where a broker listens if it is not told otherwise")
    func local() throws {
        #expect(Endpoint.local == (try Endpoint("127.0.0.1")))
        #expect(Endpoint.local.port == Endpoint.defaultPort)
    }
}
