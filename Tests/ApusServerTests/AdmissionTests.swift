import ApusBroker
import ApusModel
import ApusTesting
import ApusWire
import Foundation
import Logging
import NIOCore
import NIOEmbedded
import Testing

@testable import ApusServer

@Suite("The end of accepting")
struct AdmissionHandlerTests {
    @Test("max-connections: is said once a minute however often it is reached, and after it where it lasts")
    func says() throws {
        let log = RecordingLog()
        let handler = AdmissionHandler(
            admission: Admission(connectionsMax: 1), connectionsMax: 1, logger: log.logger)
        let listener = EmbeddedChannel(handler: handler)
        let loop = listener.embeddedEventLoop
        func accept() throws -> EmbeddedChannel {
            let child = EmbeddedChannel(loop: loop)
            try child.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
            listener.pipeline.fireChannelRead(child as any Channel)
            listener.read()
            loop.run()
            return child
        }
        var child = try accept()
        for _ in 0..<10 {
            child.close(promise: nil)
            loop.run()
            child = try accept()
        }
        #expect(log.lines.map { String($0.prefix { $0 != " " }) } == ["warning", "notice"], "\(log.lines)")
        loop.advanceTime(by: .minutes(1))
        #expect(log.lines.count == 3 && log.lines[2].hasPrefix("warning no more connections"), "\(log.lines)")
        loop.advanceTime(by: .minutes(10))
        #expect(log.lines.count == 3)
        child.close(promise: nil)
        loop.run()
        _ = try accept()
        #expect(log.lines.count == 4 && log.lines[3].hasPrefix("notice connections are accepted again"))
    }
}

@Suite("Admission")
struct AdmissionTests {
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    private func gate(
        _ change: (inout Limits) -> Void = { _ in }, listener: (inout ListenerConfiguration) -> Void = { _ in }
    ) -> ListenerGate {
        var configuration = ListenerConfiguration(.tcp(host: "0.0.0.0", port: 0))
        listener(&configuration)
        return ListenerGate(configuration, limits: .with(change), now: start)
    }

    private func enter(_ gate: ListenerGate, _ address: String?, after seconds: Double = 0, full: Bool = false)
        -> String
    {
        let now = start + .nanoseconds(Int64(seconds * 1e9))
        switch gate.admit(address.flatMap { IPAddress($0) }, isReserveTouched: full, now: now) {
        case .admitted: return "in"
        case .denied: return "denied"
        case .busy(let error): return error.message
        }
    }

    @Test("max-connections-per-address: counts by address, IPv6 by /64, until they leave")
    func perAddress() {
        let gate = gate { $0.connectionsPerAddressMax = 2 }
        for address in ["192.0.2.1", "192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"] {
            #expect(enter(gate, address) == "in")
        }
        for address in ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::ffff:0:0:3"] {
            #expect(enter(gate, address).contains("max-connections-per-address"))
        }
        #expect(enter(gate, "2001:db8:0:1::1") == "in")
        gate.left(IPAddress("192.0.2.1"))
        #expect(enter(gate, "192.0.2.1") == "in")
        #expect(enter(gate, "192.0.2.1") != "in")
        #expect(gate.open == 6)
    }

    @Test("connect-rate: so many at once, and again as time passes; others are not touched")
    func rate() {
        let gate = gate { $0.connectRate = 10 }
        for _ in 0..<10 { #expect(enter(gate, "192.0.2.1") == "in") }
        #expect(enter(gate, "192.0.2.1").contains("connect-rate"))
        #expect(enter(gate, "192.0.2.2") == "in")
        #expect(enter(gate, "192.0.2.1", after: 0.09) != "in")
        #expect(enter(gate, "192.0.2.1", after: 0.11) == "in")
        #expect(enter(gate, "192.0.2.1", after: 0.11) != "in")
        // Beyond the times at which the table forgets.
        for second in 1...5 {
            let count = (0..<30).filter { enter(gate, "192.0.2.1", after: Double(second) + Double($0) / 1_000) == "in" }
                .count
            #expect(count == (second == 1 ? 9 : 10), "after \(second) s")
        }
    }

    @Test("Somebody with a great many addresses finds a table that does not grow with them")
    func manyAddresses() {
        var table = PeerTable(openMax: 10, rate: 2, now: start)
        var (admitted, now) = (0, start)
        for index in 0..<4 * PeerTable.recentMax {
            if index % 20_000 == 0 { now = now + .milliseconds(700) }
            guard
                let address = IPAddress(
                    "2001:db8:\(String(index >> 16, radix: 16)):\(String(index & 0xFFFF, radix: 16))::1")
            else { continue }
            if table.enter(address, now: now) == nil {
                admitted += 1
                table.leave(address)
            }
            guard table.recentAddresses <= 2 * PeerTable.recentMax else { break }
        }
        #expect(table.recentAddresses <= 2 * PeerTable.recentMax)
        #expect(table.addresses == 0)
        #expect(admitted > PeerTable.recentMax && admitted < 4 * PeerTable.recentMax)
        // Who is remembered is measured by itself.
        var full = PeerTable(openMax: 10, rate: 2, now: start)
        let known = IPAddress("192.0.2.1").map { full.enter($0, now: start) }
        #expect(known == .some(nil))
    }

    @Test("loopback-reserve: where it is touched only this machine gets in; with 0 it is as all others")
    func reserve() {
        let admission = Admission(connectionsMax: 10, loopbackReserve: 3)
        for _ in 0..<7 { _ = admission.open {} }
        #expect(!admission.isReserveTouched)
        _ = admission.open {}
        #expect(admission.isReserveTouched)

        let gate = gate()
        #expect(enter(gate, "192.0.2.1", full: true).contains("max-connections"))
        for address in ["127.0.0.1", "::1", nil] { #expect(enter(gate, address, full: true) == "in") }
        let none = self.gate {
            $0.loopbackReserve = 0
            $0.connectionsPerAddressMax = 1
        }
        #expect(enter(none, "127.0.0.1") == "in")
        #expect(enter(none, "127.0.0.1").contains("max-connections-per-address"))
        #expect(Admission(connectionsMax: 10, loopbackReserve: 100).isReserveTouched == false, "at most half")
    }

    @Test("A listener has its own bounds; this machine has its reserve above them")
    func listenerBounds() {
        let gate = gate({ $0.loopbackReserve = 1 }, listener: { $0.connectionsMax = 2 })
        #expect(enter(gate, "192.0.2.1") == "in")
        #expect(enter(gate, "192.0.2.2") == "in")
        #expect(enter(gate, "192.0.2.3").contains("this listener has 2"))
        #expect(enter(gate, "127.0.0.1") == "in")
        #expect(enter(gate, "127.0.0.1").contains("this listener has 2"))
    }

    @Test("Networks: deny goes first, an empty allow is everybody; a Unix socket has none")
    func networks() throws {
        let (ten, one) = (try Network("10.0.0.0/8"), try Network("10.0.0.1"))
        let gate = gate(listener: {
            $0.allow = [ten]
            $0.deny = [one]
        })
        #expect(enter(gate, "10.0.0.2") == "in")
        #expect(enter(gate, "10.0.0.1") == "denied")
        #expect(enter(gate, "192.0.2.1") == "denied")
        #expect(enter(gate, "127.0.0.1") == "denied")
        #expect(enter(gate, nil) == "in")
        #expect(enter(self.gate(listener: { $0.deny = [ten] }), "192.0.2.1") == "in")
    }

    @Test("What happens often is said once a minute, with how often")
    func onceAMinute() {
        let once = OnceAMinute()
        #expect(once.happened(now: start) == 1)
        for second in 1...59 { #expect(once.happened(now: start + .seconds(Int64(second))) == nil) }
        #expect(once.happened(now: start + .seconds(60)) == 60)
    }

    @Test("A refused connection gives its place back at once, and so many are told at a time")
    func refusing() {
        final class Peer {}
        let admission = Admission(connectionsMax: 100)
        let peers = (0...Admission.refusedMax).map { _ in Peer() }
        for peer in peers {
            _ = admission.open {}
            #expect(admission.refuse(ObjectIdentifier(peer)) == (peer !== peers.last))
        }
        #expect(admission.open == 1)
        for peer in peers { admission.closed(ObjectIdentifier(peer)) }
        #expect(admission.open == 0)
        #expect(admission.beingRefused == 0)
    }

    // MARK: With sockets

    /// Loopback without its privileges, so that it can be refused.
    private static func limits(_ change: (inout Limits) -> Void) -> Limits {
        .with {
            $0.loopbackReserve = 0
            change(&$0)
        }
    }

    private func rejected(_ broker: TestBroker, _ name: String) throws -> JSON? {
        try broker.status()["rejected-connections"]?[name]
    }

    @Test("busy: who is beyond the cap of its address is told so and closed; others come in; none leaks")
    func busy() async throws {
        try await withBroker(limits: Self.limits { $0.connectionsPerAddressMax = 2 }) { broker in
            let (first, second) = (try broker.peer(), try broker.peer())
            try first.ping()
            try second.ping()
            for _ in 0..<100 {
                let third = try broker.peer()
                // It says something that nobody reads: the words reach it all the same.
                try? third.send(.ping)
                let reply = try third.error()
                #expect(reply.error.code == .busy)
                #expect(reply.error.message.contains("max-connections-per-address"))
                #expect(reply.error.isFatal)
                #expect(try third.next() == nil)
            }
            let other = try ScriptedPeer(broker.addresses[0], from: "127.0.0.2")
            try other.send(.query(Query(query: 1, select: .status)))
            guard case .row(let row)? = try other.next() else { throw WaitedTooLong("a status row") }
            let status = try JSONParser.parse(String(buffer: row.content))
            #expect(status["connections"] == .integer(3))
            #expect(status["rejected-connections"]?["busy"] == .integer(100))
            first.close()
            // As soon as the broker has seen it.
            let deadline = NIODeadline.now() + .seconds(Int64(patienceSeconds))
            var text = "error busy"
            while text == "error busy", NIODeadline.now() < deadline {
                let next = try broker.peer()
                try? next.send(.ping)
                text = try next.next().map(ScriptedPeer.text) ?? "the end"
            }
            #expect(text == "pong")
        }
    }

    @Test("busy: one that goes on sending and never closes is closed, and does not take a place meanwhile")
    func busyAndStubborn() async throws {
        try await withBroker(limits: Self.limits { $0.connectionsPerAddressMax = 1 }) { broker in
            let first = try broker.peer()
            try first.ping()
            let stubborn = try broker.peer()
            #expect(try stubborn.code() == .busy)
            // Its own end stays open; the broker's closing shows as a reset.
            let deadline = NIODeadline.now() + .seconds(Int64(patienceSeconds))
            var isReset = false
            while !isReset, NIODeadline.now() < deadline {
                do { try stubborn.send(.ping) } catch { isReset = true }
                try first.ping()
            }
            #expect(isReset)
        }
    }

    @Test("connect-rate: who connects too fast is told busy")
    func connectRate() async throws {
        try await withBroker(limits: Self.limits { $0.connectRate = 5 }) { broker in
            let answers = try (0..<20).map { _ in
                let peer = try ScriptedPeer(broker.addresses[0])
                try? peer.send(.ping)
                return try peer.next().map(ScriptedPeer.text) ?? "the end"
            }
            #expect(answers.prefix(5) == ["pong", "pong", "pong", "pong", "pong"])
            #expect(answers.contains("error busy"))
            try ScriptedPeer(broker.addresses[0], from: "127.0.0.2").ping()
        }
    }

    @Test("busy: over TLS the connection is closed without a word")
    func busyOverTLS() async throws {
        let configuration = Broker.Configuration.tls
        try await withBroker(
            limits: Self.limits { $0.connectionsPerAddressMax = 1 }, configuration: configuration
        ) { broker in
            let first = try broker.peer()
            try first.ping()
            #expect(throws: (any Error).self) { try broker.peer().ping() }
            try first.ping()
        }
    }

    @Test("deny: who may not connect is closed at once, counted, and told of once at notice")
    func denied() async throws {
        let log = RecordingLog()
        let network = try Network("127.0.0.2")
        try await withBroker(
            configuration: .with {
                $0.listeners[0].deny = [network]
                $0.logger = log.logger
            }
        ) { broker in
            for _ in 0..<5 {
                let peer = try ScriptedPeer(broker.addresses[0], from: "127.0.0.2")
                #expect(throws: (any Error).self) { try peer.ping() }
            }
            #expect(try rejected(broker, "denied") == .integer(5))
            let lines = log.lines.filter { $0.contains("may not connect") && $0.contains("127.0.0.2") }
            #expect(lines.map { $0.hasPrefix("notice ") } == [true, false, false, false, false])
            #expect(try broker.status()["connections"] == .integer(1))
        }
    }

    @Test("hello-time: who says nothing whole is told so; who has said something is left alone")
    func helloTime() async throws {
        try await withBroker(limits: .with { $0.helloSeconds = 1 }) { broker in
            let (silent, dripping, other) = (try broker.peer(), try broker.peer(), try broker.peer())
            try other.ping()
            let bytes = ScriptedPeer.publish("a", String(repeating: "x", count: 500_000), id: 1, way: .json)
            var sent = 0
            // A byte at a time is a sign of life, and no frame.
            while !dripping.hasInput, sent < bytes.count {
                try dripping.send([bytes[sent]])
                sent += 1
                try other.ping()
            }
            #expect(try dripping.rest() == ["error frame-timeout"])
            #expect(try silent.rest() == ["error frame-timeout"])
            try other.ping()
        }
    }

    @Test("idle-time: who is silent and wants nothing gets goodbye; who has a subscription does not")
    func idleTime() async throws {
        try await withBroker(limits: .with { $0.idleSeconds = 1 }) { broker in
            let (idle, subscriber) = (try broker.peer(), try broker.peer())
            try subscriber.subscribe("a")
            try subscriber.subscribed()
            try idle.publish("b", "x")
            #expect(try idle.published().count == 1)
            #expect(try idle.rest() == ["goodbye"])
            // A second later than the idle one.
            try broker.waitForStatus("connections") { $0 <= 2 }
            let publisher = try broker.peer()
            try publisher.publish("a", "y")
            #expect(try subscriber.message().payload == "y")
        }
    }
}

@Suite("A Unix socket")
struct UnixSocketTests {
    private func configuration(_ path: String, _ logger: Logger? = nil) -> Broker.Configuration {
        return .with {
            $0.listeners = [ListenerConfiguration(.unix(path: path))]
            if let logger { $0.logger = logger }
        }
    }

    @Test("is a way in for its owner and group, knows who comes, and is gone with the broker")
    func works() async throws {
        let (folder, log) = (try TemporaryFolder(), RecordingLog())
        let path = folder.path("a.sock")
        try await withBroker(configuration: configuration(path, log.logger)) { broker in
            try broker.peer().ping()
            #expect(broker.addresses[0].apusURL(isTLS: false) == "apus+unix://\(path)")
            let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
            #expect(mode == 0o660)
            #expect(log.lines.contains { $0.contains("peer=unix uid \(getuid())") })
        }
        #expect(!FileManager.default.fileExists(atPath: path))
    }

    @Test("takes the place of one whose broker is gone, not of one that is in use, nor of a file")
    func replaces() async throws {
        let folder = try TemporaryFolder()
        let path = folder.path("a.sock")
        let configuration = configuration(path)
        // Bound and closed: the file stays, and nobody listens.
        try await onOwnThread { try abandonedSocket(path) }
        #expect(FileManager.default.fileExists(atPath: path))
        try await withBroker(configuration: configuration) { broker in
            try broker.peer().ping()
            let second = try Broker(store: MemoryStore(), configuration: configuration)
            let error = #expect(throws: ApusError.self) { try block { try await second.listen() } }
            #expect(error?.code == .unavailable)
            #expect(error?.message.contains("\(path) is in use") == true)
            try block { try await second.stop() }
            try broker.peer().ping()
        }
        try Data("precious".utf8).write(to: URL(filePath: path))
        try await onOwnThread {
            let broker = try Broker(store: MemoryStore(), configuration: configuration)
            let error = #expect(throws: ApusError.self) { try block { try await broker.listen() } }
            #expect(error?.message.contains("no socket") == true)
            try block { try await broker.stop() }
        }
        #expect(try String(contentsOfFile: path, encoding: .utf8) == "precious")
    }

    @Test("of another broker that has taken the place meanwhile is not removed")
    func leavesOthers() async throws {
        let folder = try TemporaryFolder()
        let path = folder.path("a.sock")
        try await withBroker(configuration: configuration(path)) { _ in
            folder.remove("a.sock")
            try abandonedSocket(path)
        }
        #expect(FileManager.default.fileExists(atPath: path))
    }

    @Test("where there is no folder, or none that may be written, is unavailable")
    func noFolder() async throws {
        try await onOwnThread {
            let broker = try Broker(
                store: MemoryStore(), configuration: configuration("/nowhere/at/all.sock"))
            let error = #expect(throws: ApusError.self) { try block { try await broker.listen() } }
            #expect(error?.code == .unavailable)
            #expect(error?.message.contains("no such directory") == true)
            try block { try await broker.stop() }
        }
    }
}

/// A socket in the file system on which nobody listens any more.
private func abandonedSocket(_ path: String) throws {
    let address = try SocketAddress(unixDomainSocketPath: path)
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    let code = address.withSockAddr { bind(descriptor, $0, socklen_t($1)) }
    guard code == 0 else { throw WaitedTooLong("a socket at \(path)") }
}
