import ApusBroker
import ApusClient
import ApusModel
import ApusServer
import ApusTesting
import Glibc
import Logging
import NIOCore
import Testing

/// Against the real broker: that the two sides understand each other is the point.
@Suite("A client with TLS", .timeLimit(.minutes(2)))
struct ClientTLSTests {
    private static let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    private func withBroker(
        _ certificate: String = "server", clientCA: String? = nil, port: Int = 0, store: MemoryStore = MemoryStore(),
        _ body: (Broker, Int) async throws -> Void
    ) async throws {
        var configuration = Broker.Configuration()
        configuration.logger = Self.quiet
        configuration.limits.drainSeconds = 2
        configuration.eventLoops = 1
        configuration.listeners = [
            ListenerConfiguration(
                .tcp(host: "127.0.0.1", port: port),
                tls: TLSConfigurationFiles(
                    certificate: TestCertificates.path("\(certificate).pem"),
                    key: TestCertificates.path("\(certificate).key"),
                    clientCA: clientCA.map(TestCertificates.path),
                    clientCertificates: clientCA == nil ? .none : .require))
        ]
        let broker = try Broker(store: store, configuration: configuration)
        let bound = try await broker.listen()
        do {
            try await body(broker, bound.first?.address.port ?? 0)
        } catch {
            try? await broker.stop()
            throw error
        }
        try await broker.stop()
    }

    private func configuration(
        _ endpoint: String, authority: String? = "ca.pem", certificate: String? = nil, key: String? = nil
    ) throws -> ClientConfiguration {
        var configuration = ClientConfiguration(endpoint: try Endpoint(endpoint))
        configuration.logger = Self.quiet
        configuration.backoffMilliseconds = 1...20
        configuration.tls = TLSFiles(
            authorities: authority.map(TestCertificates.path), certificate: certificate.map(TestCertificates.path),
            key: key.map(TestCertificates.path))
        return configuration
    }

    private func failure(_ configuration: ClientConfiguration) async -> ApusError? {
        await error { _ = try await ApusClient.connect(configuration) }
    }

    @Test("publishes and reads, by name and by address", arguments: ["127.0.0.1", "localhost"])
    func works(host: String) async throws {
        try await withBroker { _, port in
            let client = try await ApusClient.connect(try configuration("apuss://\(host):\(port)"))
            let subscription = try await client.subscribe(["#"])
            let payloads = (0..<500).map { "\($0) " + String(repeating: "x", count: 2_000) }
            try await client.publish(payloads.map { OutgoingMessage($0) })
            var received: [String] = []
            for try await case .message(let message) in subscription {
                received.append(String(buffer: message.payload))
                if received.count == payloads.count { break }
            }
            #expect(received == payloads)
            #expect(await client.close().isEmpty)
        }
    }

    @Test("resumes where it was when the broker is back, and records nothing twice")
    func resumes() async throws {
        let store = MemoryStore()
        var setting = try configuration("apuss://127.0.0.1:1")
        var client: ApusClient?
        var take: (() async throws -> String?)?
        var usedPort = 0
        try await withBroker(store: store) { _, port in
            usedPort = port
            setting = try configuration("apuss://127.0.0.1:\(port)")
            setting.publisher = "p"
            let connected = try await ApusClient.connect(setting)
            client = connected
            var events = try await connected.subscribe(["a"]).makeAsyncIterator()
            take = {
                while let event = try await events.next() {
                    if case .message(let message) = event { return String(buffer: message.payload) }
                }
                return nil
            }
            try await connected.publish(OutgoingMessage("1"))
            #expect(try await take?() == "1")
        }
        try await withBroker(port: usedPort, store: store) { _, _ in
            try await client?.publish(OutgoingMessage("2"))
            #expect(try await take?() == "2")
            _ = await client?.close()
        }
        #expect(store.head == 2)
    }

    @Test("says what is wrong with the broker's certificate")
    func brokerCertificate() async throws {
        try await withBroker { _, port in
            let stranger = await failure(try configuration("apuss://127.0.0.1:\(port)", authority: "other-ca.pem"))
            #expect(stranger?.code == .tlsFailed)
            #expect(stranger?.message.contains("authority that is not trusted") == true)
            #expect(stranger?.hint?.contains("--ca") == true)
            let system = await failure(try configuration("apuss://localhost:\(port)", authority: nil))
            #expect(system?.code == .tlsFailed)
            #expect(system?.hint?.contains("--ca") == true)
        }
        try await withBroker("elsewhere") { _, port in
            for host in ["127.0.0.1", "localhost"] {
                let other = await failure(try configuration("apuss://\(host):\(port)"))
                #expect(other?.code == .tlsFailed)
                #expect(other?.message.contains("is not for \(host)") == true, "\(String(describing: other))")
                #expect(other?.message.contains("elsewhere.example") == true)
            }
        }
        try await withBroker("expired") { _, port in
            let expired = await failure(try configuration("apuss://localhost:\(port)"))
            #expect(expired?.code == .tlsFailed)
            #expect(expired?.message.contains("expired on 2001-01-01") == true, "\(String(describing: expired))")
        }
    }

    @Test("A certificate that is refused at first is not tried again and again, although the client would wait")
    func isFinal() async throws {
        try await withBroker { _, port in
            var waiting = try configuration("apuss://127.0.0.1:\(port)", authority: "other-ca.pem")
            waiting.waitsForBroker = true
            #expect(await failure(waiting)?.code == .tlsFailed)
        }
    }

    @Test("shows its certificate where the broker demands one, and is told what is wrong with it")
    func ownCertificate() async throws {
        try await withBroker(clientCA: "ca.pem") { _, port in
            let endpoint = "apuss://127.0.0.1:\(port)"
            let good = try await ApusClient.connect(
                try configuration(endpoint, certificate: "client.pem", key: "client.key"))
            try await good.publish(OutgoingMessage("a"))
            _ = await good.close()
            let none = await failure(try configuration(endpoint))
            #expect(none?.code == .tlsFailed)
            #expect(none?.message.contains("demands one") == true, "\(String(describing: none))")
            let stranger = await failure(try configuration(endpoint, certificate: "stranger.pem", key: "stranger.key"))
            #expect(stranger?.code == .tlsFailed, "\(String(describing: stranger))")
            #expect(stranger?.message.contains("does not accept this client's certificate") == true)
        }
    }

    @Test("says which of its own files is wrong")
    func ownFiles() async throws {
        for (authority, certificate, key, says) in [
            ("nowhere.pem", nil, nil, "no such file"), ("server.key", nil, nil, "no certificate"),
            ("ca.pem", "client.pem", nil, "no key"), ("ca.pem", "client.pem", "server.key", "does not belong"),
            ("ca.pem", "client.pem", "encrypted.key", "passphrase"), ("ca.pem", nil, "client.key", "no certificate"),
        ] as [(String, String?, String?, String)] {
            let error = await failure(
                try configuration("apuss://127.0.0.1:1", authority: authority, certificate: certificate, key: key))
            #expect(error?.message.contains(says) == true, "\(String(describing: error))")
        }
    }

    @Test("Where one side speaks TLS and the other does not, it is said which")
    func mismatch() async throws {
        try await withBroker { _, port in
            let plain = await failure(try configuration("apus://127.0.0.1:\(port)"))
            #expect(plain?.code == .unavailable || plain?.code == .connectionLost)
            #expect(plain?.hint?.contains("apuss://") == true, "\(String(describing: plain))")
        }
        let other = try await ScriptedBroker.start()
        let encrypted = try configuration("apuss://127.0.0.1:\(other.port)")
        async let failing = failure(encrypted)
        let connection = try await other.accept()
        connection.send(bytes: ByteBuffer(string: "\u{0}\u{10}{\"kind\":\"error\"}"))
        let error = await failing
        #expect(error?.code == .unavailable)
        #expect(error?.message.contains("does not speak TLS") == true, "\(String(describing: error))")
    }

    @Test("A handshake that nobody answers ends in time")
    func silence() async throws {
        let silent = try await ScriptedBroker.start()
        var configuration = try configuration("apuss://127.0.0.1:\(silent.port)")
        configuration.connectTimeoutMilliseconds = 200
        let error = await failure(configuration)
        #expect(error?.code == .unavailable)
        #expect(error?.message.contains("handshake") == true, "\(String(describing: error))")
    }

    @Test("Over a Unix socket it talks to the broker without any of it")
    func unixSocket() async throws {
        let path = "/tmp/apus-client-\(getpid())-\(UInt32.random(in: 0 ... .max)).sock"
        var configuration = Broker.Configuration()
        configuration.logger = Self.quiet
        configuration.listeners = [ListenerConfiguration(.unix(path: path))]
        let broker = try Broker(store: MemoryStore(), configuration: configuration)
        let bound = try await broker.listen()
        let client = try await ApusClient.connect(try self.configuration(bound[0].url))
        #expect(try await client.publish(OutgoingMessage("x")).seq == 1)
        _ = await client.close()
        try await broker.stop()
    }

    @Test("A busy broker is tried again, by a client that waits")
    func busy() async throws {
        var configuration = Broker.Configuration()
        configuration.logger = Self.quiet
        configuration.limits.loopbackReserve = 0
        configuration.limits.connectionsPerAddressMax = 1
        configuration.listeners = [ListenerConfiguration(.tcp(host: "127.0.0.1", port: 0))]
        let broker = try Broker(store: MemoryStore(), configuration: configuration)
        let url = try await broker.listen()[0].url
        let first = try await ApusClient.connect(try self.configuration(url))
        #expect(await failure(try self.configuration(url))?.code == .busy)
        var patient = try self.configuration(url)
        patient.waitsForBroker = true
        async let second = ApusClient.connect(patient)
        _ = await first.close()
        _ = await (try second).close()
        try await broker.stop()
    }
}
