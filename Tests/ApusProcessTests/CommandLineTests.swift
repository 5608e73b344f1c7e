import Foundation
import Glibc
import Testing

extension ProcessTests {
    @Suite("What scripts can rely on")
    struct CommandLineTests {
        // MARK: Exit codes

        struct Case: Sendable, CustomTestStringConvertible {
            let code: Int32
            let arguments: [String]
            var input: [UInt8] = []
            /// What standard error has to name.
            let says: [String]

            init(_ code: Int32, _ arguments: String..., input: String = "", says: String...) {
                self.code = code
                self.arguments = arguments
                self.input = Array(input.utf8)
                self.says = says
            }

            var testDescription: String { "\(arguments.joined(separator: " ")) exits with \(code)" }
        }

        @Test("Each command ends with the exit code for what happened, and says what it was")
        func exitCodes() async throws {
            let cases = [
                Case(0, "pub", "a", "-m", "one"),
                Case(0, "sub", "a", "--from", "start", "--exit-at-end"),
                Case(0, "sub", "a", "--from", "start", "-C", "1", "-W", "50"),
                Case(0, "sub", "a", "--from", "start", "-W", "1"),
                Case(0, "history", "a"), Case(0, "get", "1"), Case(0, "topics"), Case(0, "status"),
                Case(0, "pub", "a", "-l"),
                Case(2, "sub", "nothing/here", "--from", "start", "--exit-at-end"),
                Case(2, "sub", "nothing/here", "-W", "0.5"),
                Case(2, "history", "nothing/here", says: "no message"),
                Case(2, "get", "999", says: "999"),
                Case(
                    3, "pub", "ascii", "-l", "--charset", "us-ascii", input: "plain\nnaïve\n",
                    says: "1 message recorded, 1 refused (invalid-encoding)"),
                Case(
                    3, "pub", "a", "-l", input: "x\n\(String(repeating: "x", count: 5_000))\ny\n",
                    says: "2 messages recorded, 1 refused (message-too-large)"),
                Case(27, "sub", "a", "--from", "start", "-C", "100", "-W", "0.5"),
                Case(64, "pub"), Case(64, "pub", "a/+", "-m", "x", says: "+"), Case(64, "sub", "a/#/b", says: "#"),
                Case(64, "sub", "a", "--from", "yesteryear", says: "yesteryear"),
                Case(64, "sub", "a", "-C", "0", says: "-C"), Case(64, "pub", "a", "-m", "x", "-l"),
                Case(64, "pub", "a", "-m", "x", "--ack", "maybe", says: "maybe"),
                Case(64, "serve", "--drain-time", "-5"),
                Case(64, "frobnicate", says: "there is no command \"frobnicate\"", "apus --help"),
                Case(64, "histroy", "x", says: "did you mean \"history\"?"),
                Case(64, "serve", "--listen", "nowhere:notaport"),
                Case(65, "pub", "a", "-m", "こんにちは", "--charset", "iso-8859-1", says: "こ"),
                Case(65, "pub", "a", "-m", String(repeating: "x", count: 5_000), says: "4000"),
                Case(74, "pub", "a", "-f", "/no/such/file", says: "/no/such/file"),
                Case(74, "pub", "a", "-f", "/", says: "/"),
                Case(77, "pub", "$SYS/a", "-m", "x", says: "$SYS/a"),
            ]
            try await Workshop.open { workshop in
                let broker = try await workshop.broker("--max-message-bytes", "4000")
                for one in cases {
                    let finished = try await workshop.run(
                        one.arguments, input: .bytes(one.input), environment: ["APUS_SERVER": broker.server])
                    #expect(finished.end == .exited(one.code), "\(one.testDescription): \(finished.errors)")
                    for text in one.says {
                        #expect(finished.errors.contains(text), "\(one.testDescription): \(finished.errors)")
                    }
                    // Data on stdout, everything else on stderr.
                    if one.code >= 64 { #expect(finished.output.isEmpty, "\(one.testDescription): \(finished.text)") }
                }
            }
        }

        @Test("Standard output that nobody reads any more is success", arguments: ["sub", "history"])
        func closedPipe(command: String) async throws {
            try await Workshop.open { workshop in
                let broker = try await workshop.broker()
                let payload = try workshop.file("payload", [UInt8](repeating: 0x78, count: 50_000))
                try await workshop.done("pub", "a", "-f", payload, "--repeat", "100", "-s", broker.server)
                let options = command == "sub" ? ["a", "--from", "start"] : ["--json"]
                let child = try workshop.apus([command] + options + ["-s", broker.server], output: .held)
                child.closeOutput()
                let finished = try await child.ended()
                #expect(finished.end == .exited(0), "\(finished.errors)")
                #expect(finished.errors.isEmpty)
                // The same, as people do it.
                let line =
                    "'\(Workshop.apus)' sub a --from start -s \(broker.server) | head -c 5; echo \"${PIPESTATUS[*]}\""
                let piped = try await workshop.spawn(["bash", "-c", line]).ended()
                #expect(piped.text == "xxxxx0 0\n", "\(piped.errors)")
            }
        }

        @Test("A subscriber of a quiet topic ends when its reader has gone, although nothing is to be written")
        func quietPipe() async throws {
            try await Workshop.open { workshop in
                let broker = try await workshop.broker()
                let child = try workshop.apus("sub", "quiet", "--verbose", "-s", broker.server, output: .held)
                try await child.says("subscribed")
                child.closeOutput()
                #expect(try await child.ended().end == .exited(0))
            }
        }

        // MARK: What pub takes

        @Test("pub takes text, files, standard input, lines, NUL-separated records, and nothing at all")
        func payloads() async throws {
            try await Workshop.open { workshop in
                let broker = try await workshop.broker()
                let binary = (0...255).map { UInt8($0) } + [0x0A, 0x0D, 0x00]
                let file = try workshop.file("binary", binary)
                let steps: [(arguments: [String], input: [UInt8], payloads: [[UInt8]])] = [
                    (["-m", "grüezi"], [], [Array("grüezi".utf8)]),
                    (["-m", "one", "-m", "two"], [], [Array("one".utf8), Array("two".utf8)]),
                    (["-f", file], [], [binary]),
                    (["-f", "-"], binary, [binary]),
                    (["-f", file, "-m", "three"], [], [Array("three".utf8), binary]),
                    ([], binary, [binary]),
                    ([], [], [[]]),
                    (["-n"], Array("not read".utf8), [[]]),
                    (["-l"], Array("a\r\n\nb".utf8), [Array("a\r".utf8), [], Array("b".utf8)]),
                    (["-l"], [], []),
                    (["-0"], Array("a\nb\0\0c\0".utf8), [Array("a\nb".utf8), [], Array("c".utf8)]),
                    (["-m", "again", "--repeat", "3"], [], [[UInt8]](repeating: Array("again".utf8), count: 3)),
                ]
                for (number, step) in steps.enumerated() {
                    let topic = "step/\(number)"
                    let finished = try await workshop.run(
                        ["pub", topic, "-s", broker.server] + step.arguments, input: .bytes(step.input))
                    #expect(finished.end == .exited(0), "\(step.arguments): \(finished.errors)")
                    let shown = try await workshop.run(
                        "sub", topic, "--from", "start", "--exit-at-end", "-F", Record.format, "-s", broker.server)
                    #expect(shown.code == (step.payloads.isEmpty ? 2 : 0))
                    #expect(try Record.parse(shown.output).map(\.payload) == step.payloads, "\(step.arguments)")
                }
            }
        }

        @Test("sub -C shows so many and no more, and what follows stays for the next one")
        func count() async throws {
            try await Workshop.open { workshop in
                let broker = try await workshop.broker()
                try await workshop.done(
                    "pub", "n", "-l", "-s", broker.server,
                    input: .bytes(Array((1...50).map { "\($0)\n" }.joined().utf8)))
                let first = try await workshop.done("sub", "n", "--from", "start", "-C", "7", "-s", broker.server)
                #expect(first.lines == (1...7).map { "\($0)" })
                let rest = try await workshop.done("sub", "n", "--from", "8", "--exit-at-end", "-s", broker.server)
                #expect(rest.lines == (8...50).map { "\($0)" })
                let last = try await workshop.done("sub", "n", "--last", "3", "--exit-at-end", "-s", broker.server)
                #expect(last.lines == ["48", "49", "50"])
            }
        }

        // MARK: The way to the broker

        @Test("Without a broker, it says what was tried, and exits with 69")
        func unavailable() async throws {
            try await Workshop.open { workshop in
                let port = try await unusedPort(workshop)
                for command in [["pub", "a", "-m", "x"], ["sub", "a"], ["history"], ["get", "1"], ["status"]] {
                    let finished = try await workshop.run(command + ["-s", "127.0.0.1:\(port)"])
                    #expect(finished.end == .exited(69), "\(command): \(finished.errors)")
                    #expect(finished.errors.contains("127.0.0.1:\(port)"), "\(finished.errors)")
                    #expect(finished.errors.contains("refused"), "\(finished.errors)")
                    #expect(finished.errors.contains("apus serve"), "\(finished.errors)")
                }
                // `.invalid` never exists (RFC 6761).
                let unknown = try await workshop.run("sub", "a", "-s", "no-such-host.invalid")
                #expect(unknown.end == .exited(69), "\(unknown.errors)")
                #expect(unknown.errors.contains("no-such-host.invalid"))
            }
        }

        @Test("--wait waits for a broker, for as long as it is told to")
        func wait() async throws {
            try await Workshop.open { workshop in
                let port = try await unusedPort(workshop)
                let tooLate = try await workshop.run("pub", "a", "-m", "x", "--wait=0.3", "-s", "127.0.0.1:\(port)")
                #expect(tooLate.end == .exited(69), "\(tooLate.errors)")
                let waiting = try workshop.apus(
                    "pub", "a", "-m", "patience", "-v", "--wait", "--verbose", "-s", "127.0.0.1:\(port)")
                try await waiting.says("connecting")
                _ = try await workshop.broker(port: port)
                let finished = try await waiting.ended()
                #expect(finished.end == .exited(0), "\(finished.errors)")
                #expect(finished.text == "seq 1 synced\n")
            }
        }

        // MARK: Reading a file

        @Test("A file that cannot be read is an input/output error, whatever the reason")
        func unreadableFiles() async throws {
            try await Workshop.open { workshop in
                try await makeLog(workshop)
                let manager = FileManager.default
                for name in ["closed", "sealed"] {
                    try manager.createDirectory(atPath: workshop.path(name), withIntermediateDirectories: false)
                    try manager.copyItem(atPath: workshop.path("apus.db"), toPath: workshop.path("\(name)/apus.db"))
                }
                // What is in a write-ahead log cannot be left out, nor read where nothing may be created.
                try workshop.file("sealed/apus.db-wal", [UInt8](repeating: 0x55, count: 4_152))
                #expect(chmod(workshop.path("closed"), 0) == 0)
                #expect(chmod(workshop.path("sealed"), 0o555) == 0)
                #expect(chmod(workshop.folder, 0o755) == 0)
                let places = ["missing.db", "no/such/folder/apus.db", "closed/apus.db", "sealed/apus.db", ""]
                for place in places.map(workshop.path) {
                    for command in [["history"], ["get", "1"]] {
                        // Root may read everything, so root does it as nobody.
                        let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
                        let line = [Workshop.apus] + command + ["--db", place]
                        let finished = try await workshop.spawn(getuid() == 0 ? nobody + line : line).ended()
                        #expect(finished.end == .exited(74), "\(place): \(finished.errors)")
                        #expect(finished.errors.contains(place), "\(finished.errors)")
                    }
                }
                for name in ["closed", "sealed"] { #expect(chmod(workshop.path(name), 0o755) == 0) }
            }
        }

        // MARK: serve

        @Test("A port in use: exit 69, the port's number, and how to find who has it; the other broker goes on")
        func portInUse() async throws {
            try await Workshop.open { workshop in
                let broker = try await workshop.broker()
                let second = try await workshop.run(
                    "serve", "--db", workshop.path("second.db"), "--listen", "127.0.0.1:\(broker.port)")
                #expect(second.end == .exited(69))
                #expect(second.errors.contains("port \(broker.port)"), "\(second.errors)")
                #expect(second.errors.contains("ss -ltnp"), "\(second.errors)")
                try await workshop.done("pub", "a", "-m", "x", "-s", broker.server)
            }
        }

        @Test("Two brokers on one file: the second one is refused and names the first, which goes on")
        func oneFile() async throws {
            try await Workshop.open { workshop in
                let broker = try await workshop.broker()
                // Under another name, too.
                try FileManager.default.createSymbolicLink(
                    atPath: workshop.path("link.db"), withDestinationPath: workshop.path("apus.db"))
                for name in ["apus.db", "link.db"] {
                    let second = try await workshop.run(
                        "serve", "--db", workshop.path(name), "--listen", "127.0.0.1:0")
                    #expect(second.end == .exited(69), "\(second.errors)")
                    #expect(second.errors.contains("process \(broker.child.pid)"), "\(second.errors)")
                }
                try await workshop.done("pub", "a", "-m", "x", "-s", broker.server)
                try await broker.killNow()
                // A killed broker leaves its lock file behind, and no lock.
                let third = try await workshop.broker()
                #expect(try await workshop.done("get", "1", "-s", third.server).text == "x")
            }
        }

        @Test("A file that is not a log is refused with 74 and left as it is")
        func foreignFiles() async throws {
            try await Workshop.open { workshop in
                try await makeLog(workshop)
                let log = try Data(contentsOf: URL(fileURLWithPath: workshop.path("apus.db")))
                var newer = log
                // The user version, in the file's header: where the schema's number stands.
                newer.replaceSubrange(60..<64, with: [0, 0, 0x7F, 0xFF])
                var damaged = log
                damaged.replaceSubrange(100..<4_096, with: [UInt8](repeating: 0xA5, count: 3_996))
                let other = """
                    import sqlite3, sys
                    db = sqlite3.connect(sys.argv[1])
                    db.executescript("create table message (seq integer primary key); insert into message values (1)")
                    """
                let made = try await workshop.spawn(["python3", "-c", other, workshop.path("other.db")]).ended()
                #expect(made.end == .exited(0), "\(made.errors)")
                try workshop.file("text.db", "This is a letter, and no log.\n".utf8)
                try workshop.file("newer.db", newer)
                try workshop.file("damaged.db", damaged)
                try workshop.file("half.db", log.prefix(log.count / 2))
                let names = try FileManager.default.contentsOfDirectory(atPath: workshop.folder).sorted()
                for name in ["other.db", "text.db", "newer.db", "damaged.db", "half.db"] {
                    let url = URL(fileURLWithPath: workshop.path(name))
                    let before = try Data(contentsOf: url)
                    let finished = try await workshop.run(
                        "serve", "--db", url.path, "--listen", "127.0.0.1:0", seconds: 20)
                    #expect(finished.end == .exited(74), "\(name): \(finished.errors)")
                    #expect(finished.errors.contains(name), "\(name): \(finished.errors)")
                    #expect(!finished.errors.contains("listening"))
                    #expect(try Data(contentsOf: url) == before, "\(name) was changed")
                    let after = try FileManager.default.contentsOfDirectory(atPath: workshop.folder).sorted()
                    #expect(after == names, "\(name)")
                }
            }
        }

        @Test("A folder, a place that does not exist, or one that may not be read: refused, naming it")
        func unusablePlaces() async throws {
            try await Workshop.open { workshop in
                let places = [workshop.folder, workshop.path("no/such/folder/apus.db"), "/proc/apus.db"]
                for place in places {
                    let served = try await workshop.run("serve", "--db", place, "--listen", "127.0.0.1:0", seconds: 20)
                    #expect(served.end == .exited(74), "\(place): \(served.errors)")
                    #expect(served.errors.contains(place), "\(served.errors)")
                    let read = try await workshop.run("history", "--db", place, seconds: 20)
                    #expect(read.end == .exited(74), "\(place): \(read.errors)")
                }
                try await makeLog(workshop)
                #expect(chmod(workshop.path("apus.db"), 0o400) == 0)
                // Root may do everything, so root does it as nobody.
                let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
                let serve = [Workshop.apus, "serve", "--db", workshop.path("apus.db"), "--listen", "127.0.0.1:0"]
                let finished = try await workshop.spawn(getuid() == 0 ? nobody + serve : serve).ended(seconds: 20)
                #expect(finished.end == .exited(74), "\(finished.errors)")
                #expect(finished.errors.contains("apus.db") && finished.errors.contains("ermi"), "\(finished.errors)")
            }
        }

        @Test("A payload whose bytes have changed on the disk is not given to anybody as if nothing had happened")
        func changedPayload() async throws {
            try await Workshop.open { workshop in
                try await makeLog(workshop)
                let url = URL(fileURLWithPath: workshop.path("apus.db"))
                var log = try Data(contentsOf: url)
                // In the middle of some payload: they are 10,000 bytes of 1.
                let ones = Data(repeating: 1, count: 2_000)
                let place = try #require(log.range(of: ones, in: (log.count / 2)..<log.count)).lowerBound + 1_000
                log[place] ^= 0x10
                try log.write(to: url)
                let broker = try await workshop.broker()
                var refused = 0
                for seq in 1...20 {
                    let finished = try await workshop.run("get", "\(seq)", "-s", broker.server)
                    if finished.end == .exited(0) {
                        #expect(finished.output == [UInt8](repeating: 1, count: 10_000), "seq \(seq)")
                    } else {
                        refused += 1
                        #expect(finished.end == .exited(74), "\(finished.errors)")
                        #expect(finished.errors.contains("message \(seq) "), "\(finished.errors)")
                    }
                }
                #expect(refused == 1)
                // The broker goes on.
                try await workshop.done("pub", "a", "-m", "x", "-s", broker.server)
            }
        }

        @Test("An address that other machines reach is refused with 77, unless it is said that anybody may come")
        func anonymous() async throws {
            try await Workshop.open { workshop in
                let refused = try await workshop.run(
                    "serve", "--db", workshop.path("apus.db"), "--listen", "0.0.0.0:0")
                #expect(refused.end == .exited(77), "\(refused.errors)")
                #expect(refused.errors.contains("--allow-anonymous"))
                let allowed = try workshop.apus(
                    "serve", "--db", workshop.path("apus.db"), "--listen", "0.0.0.0:0", "--allow-anonymous")
                try await allowed.says("listening on apus://0.0.0.0:")
            }
        }

        // MARK: Help

        /// A log with a few messages, closed properly.
        private func makeLog(_ workshop: Workshop) async throws {
            let broker = try await workshop.broker()
            try await workshop.done(
                "pub", "a", "-f", try workshop.file("payload", [UInt8](repeating: 1, count: 10_000)), "--repeat", "20",
                "-s", broker.server)
            #expect(try await broker.stop().end == .exited(0))
        }

        /// A port that was somebody's a moment ago.
        private func unusedPort(_ workshop: Workshop) async throws -> Int {
            let broker = try await workshop.broker(db: "port.db")
            try await broker.stop()
            return broker.port
        }
    }
}
