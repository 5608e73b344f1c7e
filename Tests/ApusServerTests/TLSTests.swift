import ApusBroker
import ApusModel
import ApusServer
import ApusTesting
import ApusWire
import Foundation
import Logging
import NIOCore
import NIOSSL
import Testing

@Suite("TLS at a listener")
struct TLSTests {
    private func only(_ listener: ListenerConfiguration, _ logger: Logger? = nil) -> Broker.Configuration {
        .with {
            $0.listeners = [listener]
            if let logger { $0.logger = logger }
        }
    }

    /// The words with which a handshake, or what follows it, ends for the peer.
    private func failure(_ peer: ScriptedPeer) -> String? {
        do {
            try peer.send(.ping)
            while try peer.receive(max: 65_536) != nil {}
            return nil
        } catch {
            return "\(error)"
        }
    }

    @Test("speaks 1.2 and 1.3, and nothing older", arguments: [TLSVersion.tlsv12, .tlsv13, .tlsv11])
    func versions(version: TLSVersion) async throws {
        let log = RecordingLog()
        try await withBroker(configuration: only(.tls(), log.logger)) { broker in
            #expect(broker.isTLS)
            let peer = try ScriptedPeer(broker.addresses[0], tls: TLSPipe(version: version))
            if case .tlsv11 = version {
                #expect(failure(peer) != nil)
                try log.wait("the reason") { $0.contains { $0.contains("speaks no TLS 1.2 or newer") } }
            } else {
                try peer.ping()
            }
        }
    }

    @Test("shows a certificate that those refuse who do not know its authority")
    func unknownAuthority() async throws {
        let log = RecordingLog()
        try await withBroker(configuration: only(.tls(), log.logger)) { broker in
            let peer = try ScriptedPeer(broker.addresses[0], tls: TLSPipe(authority: "other-ca.pem"))
            #expect(failure(peer)?.contains("CERTIFICATE_VERIFY_FAILED") == true)
            try broker.peer().ping()
        }
    }

    @Test(
        "that demands certificates lets in who shows one it knows, and nobody else",
        arguments: [("client", true), ("stranger", false), (nil, false)] as [(String?, Bool)])
    func required(certificate: String?, isWelcome: Bool) async throws {
        let log = RecordingLog()
        try await withBroker(configuration: only(.tls(clientCA: "ca.pem", .require), log.logger)) { broker in
            let peer = try ScriptedPeer(broker.addresses[0], tls: TLSPipe(certificate: certificate))
            if isWelcome {
                try peer.ping()
                try log.wait("the name") { $0.contains { $0.contains("certificate=sensor-7") } }
            } else {
                #expect(failure(peer)?.contains("ALERT") == true)
                try log.wait("the reason") { $0.contains { $0.contains("a TLS handshake failed: the peer") } }
                #expect(!log.lines.contains { $0.contains("certificate=") })
            }
        }
    }

    @Test(
        "that asks for certificates takes none for none, and no bad one",
        arguments: [("unnamed-client", "certificate=sensor-8@example.org"), ("stranger", nil), (nil, "connected")]
            as [(String?, String?)])
    func requested(certificate: String?, line: String?) async throws {
        let log = RecordingLog()
        try await withBroker(configuration: only(.tls(clientCA: "ca.pem", .request), log.logger)) { broker in
            let peer = try ScriptedPeer(broker.addresses[0], tls: TLSPipe(certificate: certificate))
            if let line {
                try peer.ping()
                try log.wait(line) { $0.contains { $0.contains(line) } }
            } else {
                #expect(failure(peer) != nil)
            }
        }
    }

    @Test("reloads certificates for new connections; those that are open go on; a bad one changes nothing")
    func reload() async throws {
        let folder = try TemporaryFolder()
        func install(_ certificate: String, _ key: String) throws {
            try folder.copy(TestCertificates.path(certificate), to: "tls.pem")
            try folder.copy(TestCertificates.path(key), to: "tls.key")
        }
        try install("server.pem", "server.key")
        let listener = ListenerConfiguration(
            .tcp(host: "127.0.0.1", port: 0),
            tls: TLSConfigurationFiles(certificate: folder.path("tls.pem"), key: folder.path("tls.key")))
        try await withBroker(configuration: only(listener)) { broker in
            let old = try broker.peer()
            try old.ping()
            // A key of another certificate, a file without a certificate, none at all.
            for (certificate, key) in [("other-server.pem", "server.key"), ("make-certificates.sh", "server.key")] {
                try install(certificate, key)
                #expect(throws: ApusError.self) { try block { _ = try await broker.broker.readTLS() } }
            }
            folder.remove("tls.pem")
            #expect(throws: ApusError.self) { try block { _ = try await broker.broker.readTLS() } }
            try broker.peer().ping()

            func notAfter() throws -> [String] {
                let families = try block { await broker.broker.metricFamilies() }
                return families.filter { $0.metric == .certificates }.flatMap(\.samples).map { "\($0)" }
            }
            try install("server.pem", "server.key")
            #expect(try block { try await broker.broker.readTLS() == nil }, "nothing is new")
            let before = try notAfter()
            #expect(before.count == 1 && before[0].contains("127.0.0.1:0"))
            try install("other-server.pem", "other-server.key")
            try block { try await broker.broker.readTLS()?() }
            #expect(try failure(broker.peer()) != nil, "the new certificate is another authority's")
            try ScriptedPeer(broker.addresses[0], tls: TLSPipe(authority: "other-ca.pem")).ping()
            try old.ping()
            try install("expired.pem", "expired.key")
            try block { try await broker.broker.readTLS()?() }
            #expect(try notAfter() != before)
        }
    }

    @Test("hello-time: who begins a handshake and does not end it is closed; others go on")
    func slowHandshake() async throws {
        let log = RecordingLog()
        let configuration = only(.tls(), log.logger)
        try await withBroker(limits: .with { $0.helloSeconds = 1 }, configuration: configuration) { broker in
            let other = try broker.peer()
            try other.ping()
            let slow = try ScriptedPeer(broker.addresses[0])
            // The beginning of a record.
            try slow.send([22, 3, 1, 1, 0, 1, 0])
            #expect(try slow.receive(max: 100) == nil)
            try log.wait("the reason") { $0.contains { $0.contains("hello-time") } }
            try other.ping()
        }
    }

    @Test("tells in its log who does not speak it, and closes", arguments: ["GET / HTTP/1.1\r\n\r\n", "\u{0}\u{2}{}"])
    func plainBytes(text: String) async throws {
        let log = RecordingLog()
        try await withBroker(configuration: only(.tls(), log.logger)) { broker in
            let peer = try ScriptedPeer(broker.addresses[0])
            try peer.send(Array(text.utf8) + Array(repeating: 0, count: 20))
            while try peer.receive(max: 100) != nil {}
            try log.wait("the reason") {
                $0.contains { $0.contains("the peer speaks HTTP") || $0.contains("not speak TLS") }
            }
        }
    }

    @Test("on a plain port is told so at once, however its first bytes are cut", arguments: [1, 3, 10, 11, 200])
    func helloOnPlainPort(pieceBytes: Int) async throws {
        try await withBroker { broker in
            let peer = try broker.peer()
            let hello = try TLSPipe().takeOutput()
            var rest = hello[...]
            while !rest.isEmpty {
                try peer.send(rest.prefix(pieceBytes))
                rest = rest.dropFirst(pieceBytes)
                // The next piece is another turn's.
                if hello.count - rest.count < 12 { try broker.peer().ping() }
            }
            let reply = try peer.error()
            #expect(reply.error.code == .malformedFrame)
            #expect(reply.error.message.contains("does not speak TLS"))
            #expect(try peer.next() == nil)
        }
    }

    @Test("is not seen in frames that begin a little like it, nor in what ends there")
    func looksLikeHello() async throws {
        try await withBroker { broker in
            for bytes in [[22], [22, 3], [22, 3, 1], [22, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3]] as [[UInt8]] {
                let peer = try broker.peer()
                try peer.send(bytes)
                try peer.closeSending()
                #expect(try peer.rest() == ["error malformed-frame"])
            }
            // A header of just that length.
            let peer = try broker.peer()
            let start = #"{"kind":"ping""#
            let header = start + String(repeating: " ", count: 0x1603 - start.utf8.count - 1) + "}"
            try peer.send([0x16, 0x03])
            try broker.peer().ping()
            try peer.send(Array(header.utf8))
            #expect(try peer.next().map(ScriptedPeer.text) == "pong")
        }
    }

    private static let badFiles: [(certificate: String, key: String, says: String)] = [
        ("nowhere.pem", "server.key", "no such file"), ("server.pem", "nowhere.key", "no such file"),
        ("make-certificates.sh", "server.key", "no certificate that can be read"),
        ("server.pem", "server.pem", "no key that can be read"), ("server.pem", "client.key", "does not belong"),
        ("server.pem", "encrypted.key", "passphrase"), (".", "server.key", "is no file"),
    ]

    @Test("without files that belong together does not begin, and says which and why", arguments: 0..<badFiles.count)
    func refusesFiles(index: Int) async throws {
        let (certificate, key, says) = Self.badFiles[index]
        try await onOwnThread {
            var listener = ListenerConfiguration.tls()
            listener.tls?.certificate = TestCertificates.path(certificate)
            listener.tls?.key = TestCertificates.path(key)
            let broker = try Broker(store: MemoryStore(), configuration: only(listener))
            defer { try? block { try await broker.stop() } }
            let error = #expect(throws: ApusError.self) { try block { try await broker.listen() } }
            #expect(error?.code == .tlsFailed)
            #expect(error?.message.contains(says) == true, "\(String(describing: error))")
        }
    }

    @Test("warns of a certificate that has expired, and of a key that everybody may read")
    func warnings() async throws {
        let folder = try TemporaryFolder()
        try folder.copy(TestCertificates.path("expired.key"), to: "open.key")
        try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: folder.path("open.key"))
        var listener = ListenerConfiguration.tls("expired")
        listener.tls?.key = folder.path("open.key")
        let log = RecordingLog()
        try await withBroker(configuration: only(listener, log.logger)) { broker in
            #expect(log.lines.contains { $0.contains("a certificate expired on 2001-01-01") })
            #expect(log.lines.contains { $0.contains("everybody on this machine may read the private key") })
            let peer = try broker.peer()
            #expect(failure(peer) != nil)
        }
    }

    @Test("and client certificates have to fit together")
    func contradictions() {
        var files = TLSConfigurationFiles(certificate: "a", key: "b", clientCertificates: .require)
        #expect(throws: ApusError.self) { try files.check() }
        files.clientCA = "c"
        #expect(throws: Never.self) { try files.check() }
        files.clientCertificates = .none
        #expect(throws: ApusError.self) { try files.check() }
        #expect(throws: ApusError.self) {
            try ListenerConfiguration(.unix(path: "/tmp/x"), tls: ListenerConfiguration.tls().tls).check()
        }
    }
}

/// Gone with the test.
final class TemporaryFolder {
    private let url: URL

    init() throws {
        // Short: the path of a Unix socket has to fit into 107 bytes.
        url = URL(filePath: "/tmp/apus-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: false)
    }

    deinit { try? FileManager.default.removeItem(at: url) }

    func path(_ name: String) -> String { url.appending(path: name).path }

    func remove(_ name: String) { try? FileManager.default.removeItem(atPath: path(name)) }

    func copy(_ file: String, to name: String) throws {
        remove(name)
        try FileManager.default.copyItem(atPath: file, toPath: path(name))
    }
}
