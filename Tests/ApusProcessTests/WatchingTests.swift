import Foundation
import Glibc
import Testing

extension ProcessTests {
    @Suite("Watching a broker from outside")
    struct WatchingTests {
        @Test("health says that a broker serves, in one line")
        func serves() async throws {
            try await Workshop.open { workshop in
                let broker = try await workshop.broker()
                let healthy = try await workshop.done("health", "-s", broker.server)
                #expect(healthy.lines.count == 1)
                #expect(healthy.text.hasPrefix("\(broker.server) serves ("))
                #expect(healthy.errors.isEmpty)
                let quiet = try await workshop.done("health", "-q", "-s", broker.server)
                #expect(quiet.output.isEmpty && quiet.errors.isEmpty)
            }
        }

        @Test("health exits with 69 where nobody listens, and where it is something else than a broker")
        func notThere() async throws {
            try await Workshop.open { workshop in
                let listener = try Listener()
                let port = listener.port
                listener.close()
                let closed = try await workshop.run("health", "-s", "127.0.0.1:\(port)")
                #expect(closed.end == .exited(69), "\(closed.errors)")
                #expect(closed.errors.contains("127.0.0.1:\(port): connection refused"), "\(closed.errors)")
                #expect(closed.errors.split(separator: "\n").count == 1)
                #expect(closed.output.isEmpty)

                let other = try Listener()
                let asked = Task { try await workshop.run("health", "-s", "127.0.0.1:\(other.port)") }
                try await onThread { try other.answer("HTTP/1.1 400 Bad Request\r\n\r\n") }
                let finished = try await asked.value
                #expect(finished.end == .exited(69), "\(finished.errors)")
                other.close()
            }
        }

        @Test("health exits with 27 where something accepts and never answers, as soon as it was told to")
        func blackHole() async throws {
            try await Workshop.open { workshop in
                // The kernel accepts for it.
                let hole = try Listener()
                let began = ContinuousClock.now
                let finished = try await workshop.run("health", "-W", "0.5", "-s", "127.0.0.1:\(hole.port)")
                #expect(finished.end == .exited(27), "\(finished.errors)")
                #expect(finished.errors.contains("did not answer within 0.5 s"), "\(finished.errors)")
                #expect(ContinuousClock.now - began >= .milliseconds(500))
                hole.close()
            }
        }

        @Test("top shows one screen, or an object for scripts")
        func once() async throws {
            try await Workshop.open { workshop in
                let broker = try await workshop.broker()
                try await workshop.done("pub", "a", "-m", "x", "-s", broker.server)
                let screen = try await workshop.done("top", "--once", "--interval", "0.1", "-s", broker.server)
                #expect(screen.lines.first?.contains(broker.server) == true)
                #expect(screen.text.contains("TRAFFIC\n") && screen.text.contains("LOG\nhead                   1"))
                // Nothing of a terminal's language.
                #expect(!screen.text.contains("\u{1B}"))
                let json = try await workshop.done("top", "--once", "--json", "--interval", "0.1", "-s", broker.server)
                let look = try JSONDecoder().decode(Look.self, from: Data(json.output))
                #expect(look.rates["head"] == 0)
                #expect(look.status.head == 1)
                #expect(look.seconds >= 0.1)
            }
        }

        @Test("Without a broker top exits with 69")
        func withoutBroker() async throws {
            try await Workshop.open { workshop in
                let listener = try Listener()
                let port = listener.port
                listener.close()
                let finished = try await workshop.run("top", "-s", "127.0.0.1:\(port)")
                #expect(finished.end == .exited(69), "\(finished.errors)")
            }
        }

        @Test("On a terminal top redraws in place, follows the window's size, and gives the screen back on Ctrl-C")
        func terminal() async throws {
            try await Workshop.open { workshop in
                let broker = try await workshop.broker()
                let script = """
                    import fcntl, os, pty, select, signal, struct, sys, termios, time
                    pid, fd = pty.fork()
                    if pid == 0:
                        os.execv(sys.argv[1], [sys.argv[1], "top", "--interval", "30", "-s", sys.argv[2]])
                    seen = b""
                    def size(rows, columns):
                        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
                    def until(text, what):
                        global seen
                        end = time.time() + 60
                        while text not in seen:
                            if time.time() > end: sys.exit("no %s: %r" % (what, seen))
                            if select.select([fd], [], [], 1)[0]:
                                try: seen += os.read(fd, 65536)
                                except OSError: break
                        if text not in seen: sys.exit("it ended without %s: %r" % (what, seen))
                        seen = seen[seen.index(text) + len(text):]
                    size(40, 100)
                    until(b"\\x1b[?1049h", "other screen")
                    until(b"messages out", "figures")
                    until(b"\\x1b[J", "end of the screen")
                    size(40, 40)
                    until(b"\\x1b[H", "screen for the new size")
                    until(b"messages in            -\\x1b[K\\r\\nmessages out", "narrow screen")
                    os.write(fd, b"\\x03")
                    until(b"\\x1b[?25h\\x1b[?1049l", "old screen")
                    while True:
                        try:
                            if not os.read(fd, 65536): break
                        except OSError: break
                    sys.exit("exit %d" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
                    """
                let finished = try await workshop.spawn(
                    ["python3", "-c", script, Workshop.apus, broker.server], environment: ["TERM": "xterm"]
                ).ended()
                #expect(finished.errors == "exit 130\n")
            }
        }
    }
}

private struct Look: Decodable {
    struct Status: Decodable {
        var head: UInt64
    }

    var seconds: Double
    var rates: [String: Double?]
    var status: Status
}

/// A listening socket that does not even accept, unless it is told to.
private final class Listener: Sendable {
    private let descriptor: Int32

    init() throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        let size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let code = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, size) }
        }
        guard code == 0, listen(descriptor, 8) == 0 else {
            throw Unexpected("no listener: \(String(cString: strerror(errno)))")
        }
    }

    var port: Int {
        var address = sockaddr_in()
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        _ = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &size) }
        }
        return Int(in_port_t(bigEndian: address.sin_port))
    }

    /// Answers whatever the next connection says with this, and closes it.
    func answer(_ text: String) throws {
        var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        guard Glibc.poll(&poll, 1, Int32(Patience.seconds * 1_000)) == 1 else { throw Unexpected("nobody came") }
        let connection = accept(descriptor, nil, nil)
        _ = send(connection, text, text.utf8.count, Int32(MSG_NOSIGNAL))
        Glibc.close(connection)
    }

    func close() { Glibc.close(descriptor) }
}
