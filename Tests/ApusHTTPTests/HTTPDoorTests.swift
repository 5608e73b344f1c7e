import ApusBroker
import ApusHTTP
import ApusModel
import ApusTesting
import Testing

@Suite("The HTTP door on real sockets")
struct HTTPDoorTests {
    @Test("answers GET and HEAD, one after the other on one connection")
    func answers() async throws {
        try await withDoor(.simple()) { port in
            let browser = try Browser(port: port)
            let index = try browser.get("/")
            #expect(index.status == 200)
            for path in ["/healthz", "/readyz", "/metrics"] {
                #expect(index.body.contains(path))
                let got = try browser.get(path)
                #expect(got.status == 200)
                let head = try browser.get(path, method: "HEAD")
                #expect(head.status == 200)
                #expect(head.fields["content-length"] == "\(got.body.utf8.count)")
                #expect(head.fields["content-type"] == got.fields["content-type"])
            }
            #expect(try browser.get("/metrics").fields["content-type"] == "text/plain; version=0.0.4; charset=utf-8")
            #expect(try browser.get("/metrics?x=y").status == 200)
        }
    }

    @Test("says as JSON that there is no such page, and that it is only read")
    func refuses() async throws {
        try await withDoor(.simple()) { port in
            let browser = try Browser(port: port)
            let unknown = try browser.get("/metrics/x")
            #expect(unknown.status == 404)
            #expect(unknown.fields["content-type"] == "application/json")
            #expect(try JSONParser.parse(unknown.body)["error"]?["code"] == .string("not-found"))
            for method in ["POST", "DELETE", "OPTIONS"] {
                let wrong = try browser.get("/readyz", method: method, body: "abc")
                #expect(wrong.status == 405)
                #expect(wrong.fields["allow"] == "GET, HEAD")
                #expect(try JSONParser.parse(wrong.body)["error"]?["code"] == .string("method-not-allowed"))
            }
            // A body that nobody wants was read past: the connection goes on.
            #expect(try browser.get("/").status == 200)
        }
    }

    @Test("answers requests that were sent together, in their order")
    func pipelined() async throws {
        try await withDoor(.simple()) { port in
            let browser = try Browser(port: port)
            try browser.send(
                ["/", "/none", "/healthz"].map { "GET \($0) HTTP/1.1\r\nHost: a\r\n\r\n" }.joined())
            #expect(try [browser.answer(), browser.answer(), browser.answer()].map(\.status) == [200, 404, 200])
        }
    }

    @Test(
        "takes no header beyond http-header-bytes, and nothing that is no HTTP",
        arguments: [
            "GET / HTTP/1.1\r\nX: \(String(repeating: "a", count: 2_000))\r\n\r\n",
            "GET /\(String(repeating: "a", count: 2_000)) HTTP/1.1\r\n\r\n", "\u{0}\u{1}\u{2}\r\n\r\n",
            "GET / HTTP/1.1\r\n" + (0..<200).map { "A\($0): b\r\n" }.joined() + "\r\n",
        ])
    func headerTooLong(request: String) async throws {
        var limits = Limits.defaults
        limits.httpHeaderBytesMax = 1_024
        try await withDoor(.simple(), limits: limits) { port in
            let browser = try Browser(port: port)
            try browser.send(request)
            #expect(try browser.answer().status == 400)
            #expect(try browser.hasEnded())
            #expect(try Browser(port: port).get("/").status == 200)
        }
    }

    @Test(
        "closes a connection that brings no request to its end in http-timeout",
        arguments: ["", "GET / HTTP/1.1\r\nHost: a", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc"])
    func timeout(beginning: String) async throws {
        var limits = Limits.defaults
        limits.httpTimeoutSeconds = 1
        try await withDoor(.simple(), limits: limits) { port in
            let slow = try Browser(port: port)
            try slow.send(beginning)
            if beginning.hasPrefix("POST") { #expect(try slow.answer().status == 405) }
            #expect(try slow.hasEnded())
        }
    }

    @Test("a client that asks without end and reads nothing is closed, too")
    func neverReads() async throws {
        var limits = Limits.defaults
        limits.httpTimeoutSeconds = 1
        limits.httpConnectionsMax = 1
        // Some 10 MB: more than the sockets take for somebody who does not read.
        let large = HTTPPages.simple {
            $0.metrics = { (0..<100_000).map { MetricFamily(.connections, $0) } }
        }
        try await withDoor(large, limits: limits) { port in
            let silent = try Browser(port: port, receiveBytes: 2_048)
            try silent.send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
            // Its place, the only one, becomes free.
            #expect(try Browser(port: port).get("/").status == 200)
            withExtendedLifetime(silent) {}
        }
    }

    @Test("beyond http-connections others wait until one ends")
    func connectionLimit() async throws {
        var limits = Limits.defaults
        limits.httpConnectionsMax = 2
        try await withDoor(.simple(), limits: limits) { port in
            let (first, second) = (try Browser(port: port), try Browser(port: port))
            #expect(try first.get("/").status == 200)
            #expect(try second.get("/").status == 200)
            let third = try Browser(port: port)
            try third.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try first.get("/").status == 200)
            #expect(!third.hasInput, "it is not accepted yet")
            first.close()
            #expect(try third.answer().status == 200)
        }
    }

    @Test("says who has the port, and what to do")
    func portInUse() async throws {
        try await withDoor(.simple()) { port in
            let outcome = Watched<Result<HTTPDoor, ApusError>?>(nil)
            Task {
                do throws(ApusError) {
                    let door = try await HTTPDoor.start(
                        HTTPDoor.Configuration(
                            address: .tcp(host: "127.0.0.1", port: port), limits: .defaults, logger: noLog),
                        pages: .simple())
                    outcome.change { $0 = .success(door) }
                } catch {
                    outcome.change { $0 = .failure(error) }
                }
            }
            try outcome.wait("the outcome") { $0 != nil }
            guard case .failure(let error)? = outcome.value else {
                Issue.record("two doors on one port")
                return
            }
            #expect(error.code == .unavailable)
            #expect(error.message.contains("127.0.0.1 port \(port)"))
        }
    }

    @Test("stops although somebody holds a connection and sends nothing")
    func stops() async throws {
        let door = try await HTTPDoor.start(
            HTTPDoor.Configuration(address: .tcp(host: "127.0.0.1", port: 0), limits: .defaults, logger: noLog),
            pages: .simple())
        let port = door.port
        let (idle, halfway) = try await blocking {
            let (idle, halfway) = (try Browser(port: port), try Browser(port: port))
            #expect(try idle.get("/").status == 200)
            try halfway.send("GET / HTTP/1.1\r\n")
            return (Handed(idle), Handed(halfway))
        }
        await door.stop()
        try await blocking { () throws in
            #expect(try idle.value.hasEnded())
            #expect(try halfway.value.hasEnded())
            #expect(throws: ScriptedPeer.Failure.self) { try Browser(port: port) }
        }
    }
}

/// From one thread to another, one after the other.
struct Handed<Value>: @unchecked Sendable {
    let value: Value

    init(_ value: Value) { self.value = value }
}
