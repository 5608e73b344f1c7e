import Foundation
import Glibc
import Testing

extension ProcessTests {
    @Suite("Operated: over HTTP, by a service manager, by the doctor")
    struct OperationTests {
        @Test("it is alive and ready, then, while it drains, alive and not ready; then the door is closed")
        func healthOverHTTP() async throws {
            try await Workshop.open { workshop in
                let broker = try await workshop.broker("--http", "127.0.0.1:0", "--drain-time", "300")
                let url = try await httpURL(broker)
                #expect(try await status("\(url)/healthz") == 200)
                #expect(try await status("\(url)/readyz") == 200)
                try await workshop.done("pub", "a", "-m", "x", "-s", broker.server)
                #expect(try await page("\(url)/metrics").contains("apus_received_messages_total{door=\"native\"} 1\n"))
                // Somebody who does not read holds up the drain.
                let payload = try workshop.file("payload", [UInt8](repeating: 1, count: 100_000))
                try await workshop.done("pub", "a", "-f", payload, "--repeat", "200", "-s", broker.server)
                let stalled = try await onThread {
                    let client = try RawClient(port: broker.port, receiveBytes: 2_048)
                    try client.send(
                        RawClient.frame(##"{"kind":"subscribe","subscription":1,"filter":"#","from":"start"}"##))
                    try client.receive()
                    return Handed(client)
                }
                broker.child.signal(SIGTERM)
                try await broker.child.says("stopping")
                var ready = try await status("\(url)/readyz")
                while ready == 200 { ready = try await status("\(url)/readyz") }
                #expect(ready == 503)
                #expect(try await page("\(url)/readyz").contains(#""code":"stopping""#))
                #expect(try await status("\(url)/healthz") == 200)
                broker.child.signal(SIGTERM)
                #expect(try await broker.child.ended(seconds: 10).end == .exited(130))
                withExtendedLifetime(stalled) {}
            }
        }

        @Test("the service manager hears that it is ready, alive, and stopping, in this order")
        func serviceManager() async throws {
            try await Workshop.open { workshop in
                let path = workshop.path("notify")
                let manager = try ServiceManager(path: path)
                let broker = try workshop.apus(
                    "serve", "--db", workshop.path("apus.db"), "--listen", "127.0.0.1:0",
                    environment: ["NOTIFY_SOCKET": path, "WATCHDOG_USEC": "100000"])
                let heard = try await onThread {
                    var heard: [String] = []
                    while heard.filter({ $0 == "WATCHDOG=1" }).count < 3 { heard.append(try manager.next()) }
                    return heard
                }
                #expect(heard.first?.hasPrefix("READY=1\nSTATUS=listening on apus://127.0.0.1:") == true)
                broker.signal(SIGTERM)
                let last = try await onThread {
                    var message = try manager.next()
                    while message == "WATCHDOG=1" { message = try manager.next() }
                    return message
                }
                #expect(last == "STOPPING=1\nSTATUS=stopping")
                #expect(try await broker.ended(seconds: 20).end == .exited(0))
            }
        }

        @Test("an HTTP address that others reach is refused without users, one in use with exit code 69")
        func addresses() async throws {
            try await Workshop.open { workshop in
                let log = workshop.path("apus.db")
                let open = try await workshop.run(
                    "serve", "--db", log, "--listen", "127.0.0.1:0", "--http", "0.0.0.0:0")
                #expect(open.end == .exited(77), "\(open.errors)")
                #expect(open.errors.contains("--allow-anonymous"))
                let broker = try await workshop.broker("--http", "127.0.0.1:0")
                let port = try #require(URL(string: try await httpURL(broker))?.port)
                let taken = try await workshop.run(
                    "serve", "--db", workshop.path("other.db"), "--listen", "127.0.0.1:0", "--http", "127.0.0.1:\(port)"
                )
                #expect(taken.end == .exited(69), "\(taken.errors)")
                #expect(taken.errors.contains("127.0.0.1 port \(port)"))
                #expect(!workshop.exists("other.db"), "nothing was opened for it")
            }
        }

        @Test("once there are users, the metrics are for administrators; health and readiness stay for everybody")
        func metricsNeedTheRight() async throws {
            try await Workshop.open { workshop in
                let users = workshop.path("users.yaml")
                for name in ["ada", "bob"] {
                    let password = try workshop.file("password", "secret of \(name)".utf8)
                    let right = name == "ada" ? ["--admin"] : ["--subscribe", "#"]
                    let added = try await workshop.run(
                        ["user", "add", name, "--users", users, "--password-file", password] + right)
                    #expect(added.end == .exited(0), "\(added.errors)")
                }
                let broker = try await workshop.broker("--http", "127.0.0.1:0", "--users", users)
                let url = try await httpURL(broker)
                func basic(_ pair: String) -> String {
                    "Authorization: Basic \(Data(pair.utf8).base64EncodedString())\r\n"
                }
                for path in ["/", "/healthz", "/readyz"] { #expect(try await status("\(url)\(path)") == 200) }
                #expect(try await status("\(url)/metrics") == 401)
                #expect(try await status("\(url)/metrics", basic("ada:wrong")) == 401)
                #expect(try await status("\(url)/metrics", basic("bob:secret of bob")) == 403)
                let shown = try await page("\(url)/metrics", basic("ada:secret of ada"))
                #expect(shown.contains("apus_logins_total{outcome=\"accepted\"} 2\n"))
                #expect(shown.contains("apus_logins_total{outcome=\"refused\"} 1\n"))
                #expect(try await broker.stop().end == .exited(0))
                let shy = try await workshop.broker(
                    "--http", "127.0.0.1:0", "--users", users, "--anonymous-metrics")
                #expect(try await status("\(try await httpURL(shy))/metrics") == 200)
            }
        }

        @Test("a users file with a mistake is a figure until it is mended; one without users is a warning")
        func refusedFile() async throws {
            try await Workshop.open { workshop in
                let users = workshop.path("users.yaml")
                let password = try workshop.file("password", Array("secret".utf8))
                try await workshop.done("user", "add", "ada", "--users", users, "--password-file", password)
                let broker = try await workshop.broker(
                    "--http", "127.0.0.1:0", "--users", users, "--anonymous-metrics")
                let url = try await httpURL(broker)
                func isRefused(_ file: String) async throws -> Bool? {
                    let figures = try await page("\(url)/metrics").split(separator: "\n")
                    let name = "apus_reload_refused{file=\"\(file)\"} "
                    return figures.first { $0.hasPrefix(name) }.map { $0 == name + "1" }
                }
                #expect(try await isRefused("users") == false)
                try workshop.file("users.yaml", Array("users: [".utf8))
                try await broker.child.says("the file of users is not reloaded")
                #expect(try await isRefused("users") == true)
                #expect(try await isRefused("configuration") == false)
                try workshop.file("users.yaml", Array("users: {}\n".utf8))
                try await broker.child.says("warning apus: the users are changed: there are none")
                #expect(try await isRefused("users") == false)
                #expect(try await broker.stop().end == .exited(0))
            }
        }

        @Test("the doctor finds a broker that runs and says nothing against it; a bad place is a problem")
        func doctor() async throws {
            try await Workshop.open { workshop in
                let broker = try await workshop.broker()
                let log = workshop.path("apus.db")
                let beside = try await workshop.run(
                    "doctor", "--json", "--db", log, "--listen", "127.0.0.1:\(broker.port)", "--syncs", "5")
                let findings = try beside.text.split(separator: "\n").map {
                    try #require(
                        try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
                }
                let port = try #require(findings.first { $0["check"] as? String == "port" })
                #expect(port["state"] as? String == "ok")
                #expect((port["found"] as? String)?.contains("process \(broker.child.pid) runs a broker") == true)
                let checks = Set(findings.compactMap { $0["check"] as? String })
                #expect(
                    checks.isSuperset(of: [
                        "descriptors", "file-system", "disk", "permissions", "fsync", "clock", "sqlite", "port",
                        "memory",
                    ]))
                let hasProblem = findings.contains { $0["state"] as? String == "problem" }
                #expect(beside.end == .exited(hasProblem ? 1 : 0))
                // It took no lock and closed no descriptor of the log: the broker goes on, and so does the log.
                try await workshop.done("pub", "a", "-m", "x", "-s", broker.server)
                #expect(try await workshop.sql("SELECT count(*) FROM message").first?[0].text == "1")
                #expect(try await broker.stop().end == .exited(0))
                let nowhere = try await workshop.run(
                    "doctor", "--db", "/nonexistent/apus.db", "--listen", "127.0.0.1:0")
                #expect(nowhere.end == .exited(1))
                #expect(nowhere.text.contains("problem  file-system"))
            }
        }

        private func httpURL(_ broker: BrokerChild) async throws -> String {
            let line = try await broker.child.says("listening on http://")
            return String(line.dropFirst("listening on ".count))
        }

        private func status(_ url: String, _ fields: String = "") async throws -> Int { try await fetch(url, fields).0 }

        private func page(_ url: String, _ fields: String = "") async throws -> String {
            try await fetch(url, fields).1
        }

        /// - Parameter fields: of the header, each with its line's end.
        private func fetch(_ url: String, _ fields: String) async throws -> (Int, String) {
            let address = try #require(URL(string: url))
            let port = try #require(address.port)
            let path = address.path
            return try await onThread {
                let client = try RawClient(port: port)
                try client.send(Array("GET \(path) HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\(fields)\r\n".utf8))
                let text = String(decoding: try client.everything(), as: UTF8.self)
                let status = text.split(separator: " ").dropFirst().first.flatMap { Int($0) }
                return (status ?? 0, text)
            }
        }
    }
}

/// What a service manager has: a datagram socket.
private final class ServiceManager: Sendable {
    private let descriptor: Int32

    init(path: String) throws {
        descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let code = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard code == 0 else { throw Unexpected("cannot bind \(path): \(String(cString: strerror(errno)))") }
        var patience = timeval(tv_sec: Int(Patience.seconds), tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit { close(descriptor) }

    /// Waits for the next message.
    func next() throws -> String {
        var buffer = [UInt8](repeating: 0, count: 4_096)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        guard count >= 0 else { throw Unexpected("nothing comes: \(String(cString: strerror(errno)))") }
        return String(decoding: buffer[..<count], as: UTF8.self)
    }
}
