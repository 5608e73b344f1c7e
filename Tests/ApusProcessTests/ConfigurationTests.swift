import Foundation
import Glibc
import Testing

extension ProcessTests {
    @Suite("The configuration")
    struct ConfigurationTests {
        private static let listener = "listeners: [{address: '127.0.0.1:0'}]\n"

        /// A broker with this configuration file, which listens.
        private func broker(_ workshop: Workshop, _ text: String, _ arguments: String...) async throws -> BrokerChild {
            let file = try workshop.file("apus.yaml", Array((Self.listener + text).utf8))
            let child = try workshop.apus(
                ["serve", "--config", file, "--db", workshop.path("apus.db")] + arguments)
            let line = try await child.says("listening on apus://")
            let digits = line.split(separator: ":").last?.prefix { $0.isNumber } ?? ""
            // What follows it says that it has read its file, and watches it.
            try await child.says("keeping messages in")
            return BrokerChild(child: child, port: try #require(Int(digits)))
        }

        private func replace(_ workshop: Workshop, _ text: String) throws {
            let new = try workshop.file("new.yaml", Array((Self.listener + text).utf8))
            guard rename(new, workshop.path("apus.yaml")) == 0 else { throw Unexpected("cannot rename \(new)") }
        }

        @Test("--check-config says what is in force and where it came from, and does not serve")
        func check() async throws {
            try await Workshop.open { workshop in
                let file = try workshop.file("apus.yaml", Array("log: {level: info}\ndb: file.db\n".utf8))
                let environment = ["APUS_DB": "environment.db", "APUS_LIMITS_DRAIN_TIME": "1m", "APUS_LOG_LEVLE": "x"]
                let table = try await workshop.run(
                    ["serve", "--check-config", "--config", file, "--event-loops", "2"], environment: environment)
                #expect(table.end == .exited(0), "\(table.errors)")
                let rows = table.lines.map {
                    $0.split(separator: " ", omittingEmptySubsequences: true).joined(separator: " ")
                }
                for row in [
                    "KEY VALUE FROM", "db environment.db environment variable APUS_DB", "log.level info \(file):1",
                    "limits.drain-time 60 environment variable APUS_LIMITS_DRAIN_TIME",
                    "event-loops 2 flag --event-loops", "users none default",
                ] { #expect(rows.contains(row), "\(row)") }
                #expect(table.errors.contains("did you mean APUS_LOG_LEVEL?"))
                #expect(!workshop.exists("environment.db"))
                let json = try await workshop.run(
                    ["serve", "--check-config", "--json"],
                    environment: environment.merging(["APUS_CONFIG": file]) { $1 })
                #expect(
                    json.lines.contains(
                        #"{"key":"log.level","value":"info","source":"file","file":"\#(file)","line":1}"#))
            }
        }

        @Test("What is wrong is told at once, all of it, with 64", arguments: [["--check-config"], []])
        func wrong(arguments: [String]) async throws {
            try await Workshop.open { workshop in
                let file = try workshop.file(
                    "apus.yaml", Array("dbb: x\nlimits:\n  max-connections: many\nlisteners:\n  - address: :1\n".utf8))
                let refused = try await workshop.run(
                    ["serve", "--config", file] + arguments, environment: ["APUS_LOG_FORMAT": "xml"])
                #expect(refused.end == .exited(64), "\(refused.errors)")
                #expect(refused.output.isEmpty)
                for text in [
                    "4 faults", "\(file):1: dbb: ", "did you mean db?", "\(file):3: limits.max-connections: ",
                    "\(file):5: listeners[0].address: other machines can reach",
                    "environment variable APUS_LOG_FORMAT: ",
                ] { #expect(refused.errors.contains(text), "\(text) in \(refused.errors)") }
            }
        }

        @Test("A value may come from a file that the environment names, as container secrets do")
        func secrets() async throws {
            try await Workshop.open { workshop in
                let secret = try workshop.file("db", Array("\(workshop.path("secret.db"))\n".utf8))
                let child = try workshop.apus(
                    "serve", "--listen", "127.0.0.1:0", environment: ["APUS_DB_FILE": secret])
                try await child.says("keeping messages in \(workshop.path("secret.db"))")
            }
        }

        @Test("SIGHUP reads it again: the log's level changes at once, and no connection is lost")
        func hangUp() async throws {
            try await Workshop.open { workshop in
                let broker = try await broker(workshop, "log: {level: notice}")
                let subscriber = try workshop.apus("sub", "#", "-C", "1", "--verbose", "-s", broker.server)
                try await subscriber.says("subscribed")
                try workshop.file("apus.yaml", Array((Self.listener + "log: {level: debug}").utf8))
                broker.child.signal(SIGHUP)
                let line = try await broker.child.says("log.level is changed")
                #expect(line.hasSuffix("from=notice to=debug"), "\(line)")
                try await workshop.done("pub", "a", "-m", "x", "-s", broker.server)
                try await broker.child.says(" info apus: connected")
                #expect(try await subscriber.ended().text == "x\n")
                #expect(try await broker.stop().end == .exited(0))
            }
        }

        @Test("A file that is replaced is read by itself; what needs a restart is named")
        func fileChange() async throws {
            try await Workshop.open { workshop in
                let broker = try await broker(workshop, "limits: {tail-bytes: 1M}")
                try replace(workshop, "limits: {tail-bytes: 2M}\nlog: {level: info}")
                let level = try await broker.child.says("log.level is changed")
                #expect(level.hasSuffix("from=notice to=info"), "\(level)")
                let tail = try await broker.child.says("limits.tail-bytes is changed and needs a restart")
                #expect(tail.contains(" warning apus: ") && tail.hasSuffix("from=1048576 to=2097152"), "\(tail)")
                // As long as it is not restarted.
                broker.child.signal(SIGHUP)
                try await broker.child.says("limits.tail-bytes is changed and needs a restart", times: 2)
                let status = try await workshop.done("status", "--json", "-s", broker.server)
                #expect(status.text.contains(#""tail-bytes":1048576"#), "what is in force has not changed")
            }
        }

        @Test("A bad file changes nothing, says everything that is wrong, and the broker goes on")
        func badFile() async throws {
            try await Workshop.open { workshop in
                let broker = try await broker(workshop, "")
                try replace(workshop, "log: {level: debug}\nlimits: {tail-bytes: none}\ndbb: x")
                try await broker.child.says("error apus: the configuration is not reloaded: nothing of it is changed")
                try await broker.child.says("apus.yaml:3: limits.tail-bytes: ")
                try await broker.child.says("apus.yaml:4: dbb: there is no such option; did you mean db?")
                try await workshop.done("pub", "a", "-m", "x", "-s", broker.server)
                unlink(workshop.path("apus.yaml"))
                broker.child.signal(SIGHUP)
                try await broker.child.says("cannot read \(workshop.path("apus.yaml"))")
                try replace(workshop, "log: {level: info}")
                broker.child.signal(SIGHUP)
                try await broker.child.says("log.level is changed")
                let finished = try await broker.stop()
                #expect(finished.end == .exited(0))
                #expect(!finished.errors.contains(" debug "), "the good half of a bad file is not taken")
            }
        }

        @Test("Users and configuration are taken over apart: who is removed is out, though the other file is broken")
        func usersStandAlone() async throws {
            try await Workshop.open { workshop in
                let users = workshop.path("users.yaml")
                let added = try await workshop.run(
                    ["user", "add", "anna", "--users", users, "--publish", "#"], input: .bytes(Array("secret\n".utf8)))
                #expect(added.code == 0, "\(added.errors)")
                let broker = try await broker(workshop, "", "--users", users)
                var status = stat()
                #expect(stat(workshop.path("apus.db"), &status) == 0 && status.st_mode & 0o777 == 0o640)
                func publish() async throws -> Int32? {
                    try await workshop.run(
                        ["pub", "a", "-m", "x", "-s", broker.server],
                        environment: ["APUS_USER": "anna", "APUS_PASSWORD": "secret"]
                    ).code
                }
                #expect(try await publish() == 0)
                try replace(workshop, "tyop: 1")
                try await broker.child.says("the configuration is not reloaded")
                try await workshop.done("user", "remove", "anna", "--users", users)
                try await broker.child.says("the users are changed")
                #expect(try await publish() == 77)
                try workshop.file("users.yaml", Array("users: [".utf8))
                try await broker.child.says("the file of users is not reloaded: nothing of it is changed")
                try replace(workshop, "log: {level: info}")
                try await broker.child.says("log.level is changed")
                #expect(try await broker.stop().end == .exited(0))
            }
        }

        @Test("With log.format json every line of standard error is an object with a time and a level")
        func jsonLines() async throws {
            try await Workshop.open { workshop in
                let broker = try await broker(workshop, "log: {level: trace, format: json}")
                try await workshop.done("pub", "a", "-m", "x", "-s", broker.server)
                broker.child.signal(SIGHUP)
                try await broker.child.says("nothing is changed")
                let finished = try await broker.stop()
                let lines = finished.errors.split(separator: "\n")
                #expect(lines.count >= 5)
                for line in lines {
                    let object = try JSONDecoder().decode(LogObject.self, from: Data(line.utf8))
                    #expect(object.time.hasSuffix("Z") && object.time.count == 27, "\(line)")
                    #expect(!object.level.isEmpty && !object.message.isEmpty)
                }
            }
        }

        private struct LogObject: Decodable {
            let time: String
            let level: String
            let message: String
        }

        @Test("One line a connection at info, none a message")
        func oneLine() async throws {
            try await Workshop.open { workshop in
                let broker = try await broker(workshop, "log: {level: info}")
                try await workshop.done("pub", "a", "-m", "x", "--repeat", "500", "-s", broker.server)
                try await workshop.done("topics", "-s", broker.server)
                let finished = try await broker.stop()
                #expect(
                    finished.errors.split(separator: "\n").count { $0.contains(" info ") } == 2, "\(finished.errors)")
            }
        }
    }
}
