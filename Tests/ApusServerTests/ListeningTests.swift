import ApusModel
import ApusServer
import ApusTesting
import ApusWire
import NIOCore
import Testing

@Suite("Listening")
struct ListeningTests {
    private static let hasIPv6: Bool = {
        let addresses = try? BindAddress.tcp(host: "::1", port: 0).resolve()
        return addresses.map { !$0.isEmpty } ?? false
    }()

    private func on(_ addresses: (String, Int)...) -> Broker.Configuration {
        .with { $0.listeners = addresses.map { ListenerConfiguration(.tcp(host: $0.0, port: $0.1)) } }
    }

    @Test("works on IPv4 and IPv6 at once", .enabled(if: hasIPv6))
    func families() async throws {
        try await withBroker(configuration: on(("127.0.0.1", 0), ("::1", 0))) { broker in
            #expect(broker.addresses.count == 2)
            for address in broker.addresses { try ScriptedPeer(address).ping() }
            #expect(broker.addresses[1].apusURL(isTLS: false) == "apus://[::1]:\(broker.addresses[1].port ?? 0)")
        }
    }

    @Test("goes on with IPv4 where the machine lacks an IPv6 address that nobody asked for")
    func withoutIPv6() async throws {
        var configuration = on(("127.0.0.1", 0), ("2001:db8::1", 0))
        configuration.listeners[1].allowsAnonymous = true
        let broker = try Broker(store: MemoryStore(), configuration: configuration)
        #expect(refusal(broker)?.code == .unavailable)
        try await broker.stop()
        configuration.listeners[1].isDefault = true
        try await withBroker(configuration: configuration) { broker in #expect(broker.addresses.count == 1) }
    }

    @Test("works on every address of a host name")
    func hostName() async throws {
        try await withBroker(configuration: on(("localhost", 0))) { broker in
            #expect(!broker.addresses.isEmpty)
            for address in broker.addresses {
                #expect(address.isLoopback)
                try ScriptedPeer(address).ping()
            }
        }
    }

    private func listener(_ addresses: (String, Int)...) throws -> Broker {
        let configuration = Broker.Configuration.with {
            $0.listeners = addresses.map { ListenerConfiguration(.tcp(host: $0.0, port: $0.1)) }
        }
        return try Broker(store: MemoryStore(), configuration: configuration)
    }

    /// The error that listening ends with.
    private func refusal(_ broker: Broker) -> ApusError? {
        do {
            _ = try block { try await broker.listen() }
            return nil
        } catch {
            return error as? ApusError
        }
    }

    @Test("on a port in use is unavailable, names it, and leaves nothing bound")
    func portInUse() async throws {
        let free = Watched(0)
        try await withBroker { broker in free.change { $0 = broker.addresses[0].port ?? 0 } }
        try await withBroker { holder in
            let taken = holder.addresses[0].port ?? 0
            let broker = try listener(("127.0.0.1", free.value), ("127.0.0.1", taken))
            let error = refusal(broker)
            #expect(error?.code == .unavailable)
            #expect(error?.message.contains("\(taken)") == true)
            #expect(error?.hint?.contains("ss -ltnp") == true)
            #expect(throws: ScriptedPeer.Failure.self, "the other address is not listened on either") {
                try ScriptedPeer(try SocketAddress(ipAddress: "127.0.0.1", port: free.value))
            }
            try block { try await broker.stop() }
        }
    }

    @Test("where other machines reach it is refused, unless everybody is allowed", arguments: ["0.0.0.0", ""])
    func anonymous(host: String) async throws {
        try await onOwnThread {
            let broker = try listener((host, 0))
            #expect(refusal(broker)?.code == .notAllowed)
            try block { try await broker.stop() }
        }
        try await withBroker(
            configuration: .with {
                $0.listeners = [ListenerConfiguration(.tcp(host: host, port: 0), allowsAnonymous: true)]
            }
        ) { broker in
            let port = broker.addresses[0].port ?? 0
            if case .v4 = broker.addresses[0] {
                try ScriptedPeer(try SocketAddress(ipAddress: "127.0.0.1", port: port)).ping()
            }
        }
    }

    @Test("again at once on the port of a broker that has just stopped")
    func restarts() async throws {
        let port = Watched(0)
        try await withBroker { broker in
            port.change { $0 = broker.addresses[0].port ?? 0 }
            // Closed by the broker, so that its side of the connection lingers in the kernel.
            let peer = try broker.peer()
            try peer.send(.goodbye(reason: nil))
            _ = try peer.rest()
        }
        try await withBroker(configuration: on(("127.0.0.1", port.value))) { try $0.peer().ping() }
    }
}
