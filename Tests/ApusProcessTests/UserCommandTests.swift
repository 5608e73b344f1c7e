import Foundation
import Glibc
import Testing

extension ProcessTests {
    @Suite("Users, from the command line to the socket")
    struct UserCommandTests {
        /// A file with anna, whose password is `träumerei`.
        private func add(_ workshop: Workshop, _ arguments: String...) async throws {
            let finished = try await workshop.run(
                ["user", "add", "anna", "--users", workshop.path("users.yaml")] + arguments,
                input: .bytes(Array("träumerei\n".utf8)))
            guard finished.end == .exited(0) else { throw Unexpected(finished.errors) }
        }

        private func script(_ name: String) throws -> String {
            try #require(Bundle.module.path(forResource: name, ofType: "py", inDirectory: "Resources"))
        }

        @Test("A user who was added logs in with a password, with a token, and from plain Python")
        func logsIn() async throws {
            try await Workshop.open { workshop in
                let users = workshop.path("users.yaml")
                try await add(workshop, "--publish", "a/%u", "--subscribe", "a/#", "--history", "a/#")
                let token = try await workshop.done(
                    "user", "token", "add", "anna", "--users", users, "--expires", "1d", "--note", "test")
                let tokenFile = try workshop.file("token", token.output)
                let broker = try await workshop.broker("--users", users)
                func run(_ arguments: String..., environment: [String: String] = [:]) async throws -> Finished {
                    try await workshop.run(arguments + ["-s", broker.server], environment: environment)
                }
                let password = ["APUS_USER": "anna", "APUS_PASSWORD": "träumerei"]
                #expect(try await run("pub", "a/anna", "-m", "1", environment: password).code == 0)
                #expect(try await run("pub", "a/anna", "-m", "2", "--token-file", tokenFile).code == 0)
                let passwordFile = try workshop.file("password", Array("träumerei\n".utf8))
                let byFile = try await run(
                    "pub", "a/anna", "-m", "3", "--user", "anna", environment: ["APUS_PASSWORD_FILE": passwordFile])
                #expect(byFile.code == 0)
                let foreign = try await run("pub", "a/otto", "-m", "x", environment: password)
                #expect(foreign.code == 77, "\(foreign.errors)")
                let wrong = try await run(
                    "pub", "a/anna", "-m", "x", environment: ["APUS_USER": "anna", "APUS_PASSWORD": "geheim"])
                #expect(wrong.code == 77)
                #expect(!wrong.errors.contains("geheim"))
                #expect(try await run("pub", "a/anna", "-m", "x").code == 77, "without a login")
                let python = try await workshop.spawn(
                    ["python3", script("login"), "\(broker.port)", "anna", "träumerei", "a/anna", "4"]).ended()
                #expect(python.text == "welcome \npublished 4\n", "\(python.errors)")
                let refused = try await workshop.spawn(
                    ["python3", script("login"), "\(broker.port)", "anna", "wrong", "a/anna", "5"]).ended()
                #expect(refused.text == "error not-allowed\n", "\(refused.errors)")
                let history = try await run("history", "--json", environment: password)
                #expect(history.lines.count == 4, "\(history.text)\(history.errors)")
                #expect(try await run("status", environment: password).code == 77, "no administrator")
                let log = try await broker.stop()
                #expect(!log.errors.contains("träumerei") && !log.errors.contains("apus_"))
            }
        }

        @Test("A password is asked for twice on a terminal, and not shown there")
        func asks() async throws {
            try await Workshop.open { workshop in
                let users = workshop.path("users.yaml")
                let finished = try await workshop.spawn([
                    "python3", script("terminal"), Workshop.apus, "user", "add", "anna", "--users", users,
                ]).ended()
                #expect(finished.code == 0, "\(finished.text)\(finished.errors)")
                #expect(finished.text.contains("New password of anna: "))
                #expect(finished.text.contains("Once more: "))
                #expect(!finished.text.contains("tr"), "\(finished.text)")
                let broker = try await workshop.broker("--users", users)
                let environment = ["APUS_USER": "anna", "APUS_PASSWORD": "träumerei", "APUS_SERVER": broker.server]
                let published = try await workshop.run("pub", "a", "-m", "x", environment: environment)
                #expect(published.code == 77)
                #expect(published.errors.contains("may not publish"), "logged in, but without rights")
            }
        }

        @Test("The file says who there is, is changed step by step, and has no plain password in it")
        func changes() async throws {
            try await Workshop.open { workshop in
                let users = workshop.path("users.yaml")
                try await add(workshop)
                func user(_ arguments: String..., input: String = "") async throws -> Finished {
                    try await workshop.run(
                        ["user"] + arguments, input: .bytes(Array(input.utf8)), environment: ["APUS_USERS": users])
                }
                var status = stat()
                #expect(stat(users, &status) == 0 && status.st_mode & 0o777 == 0o600)
                #expect(try await user("grant", "anna", "publish", "s/%u", "t/#").code == 0)
                #expect(try await user("grant", "anna", "publish", "t/secret", "--deny").code == 0)
                #expect(try await user("grant", "anna", "admin").code == 0)
                #expect(try await user("grant", "anonymous", "subscribe", "public/#").code == 0)
                let list = try await user("list")
                #expect(
                    list.lines.contains { $0.contains("anna") && $0.contains("s/%u t/# !t/secret") }, "\(list.text)")
                #expect(list.lines.contains { $0.contains("anonymous") && $0.contains("public/#") })
                #expect(try await user("revoke", "anna", "publish", "t/#", "t/secret").code == 0)
                #expect(try await user("revoke", "anna", "publish", "t/#").code == 2)
                #expect(try await user("revoke", "anna", "admin").code == 0)
                let token = try await user("token", "add", "anna")
                let id = token.text.split(separator: "_").dropFirst().first.map(String.init) ?? ""
                let json = try await user("list", "--json")
                #expect(
                    json.text.contains(#""id":"\#(id)""#) && json.text.contains(#""allow":["s/%u"]"#), "\(json.text)")
                #expect(!json.text.contains("scrypt") && !json.text.contains("sha256"))
                let file = try String(contentsOfFile: users, encoding: .utf8)
                #expect(!file.contains("träumerei") && !file.contains(token.text.dropFirst(14).prefix(20)))
                #expect(try await user("token", "remove", id).code == 0)
                #expect(try await user("token", "remove", id).code == 2)
                #expect(try await user("certificate", "add", "anna", "anna.example", "a2", "a2").code == 0)
                #expect(try await user("certificate", "add", "otto", "x").code == 2)
                let certificates = try await user("list")
                #expect(certificates.lines.contains { $0.hasPrefix("anna.example ") && $0.contains("anna") })
                #expect(certificates.lines.filter { $0.hasPrefix("a2 ") }.count == 1, "\(certificates.text)")
                #expect(try await user("certificate", "remove", "a2").code == 0)
                #expect(try await user("certificate", "remove", "a2").code == 2)
                #expect(try await user("list").lines.allSatisfy { !$0.hasPrefix("a2") })
                let before = try String(contentsOfFile: users, encoding: .utf8)
                #expect(try await user("passwd", "anna", input: "new\n").code == 0)
                #expect(try String(contentsOfFile: users, encoding: .utf8) != before)
                #expect(try await user("passwd", "otto", input: "new\n").code == 2)
                #expect(try await user("add", "anna", input: "x\n").code == 64)
                #expect(try await user("add", "a/b", input: "x\n").code == 64)
                #expect(try await user("grant", "anna", "publish").code == 64)
                #expect(try await user("grant", "anna", "publish", "a/#/b").code == 64)
                #expect(try await user("remove", "anna", "anonymous").code == 0)
                #expect(try await user("list").code == 2)
            }
        }

        @Test("A file that others may read, or that is wrong, stops the broker and says what to do")
        func refusesBadFiles() async throws {
            try await Workshop.open { workshop in
                let users = workshop.path("users.yaml")
                try await add(workshop)
                func serve() async throws -> Finished {
                    try await workshop.run(
                        "serve", "--db", workshop.path("apus.db"), "--listen", "127.0.0.1:0", "--users", users)
                }
                #expect(chmod(users, 0o644) == 0)
                let readable = try await serve()
                #expect(readable.code == 77 && readable.errors.contains("chmod 600 \(users)"), "\(readable.errors)")
                try workshop.file("users.yaml", Array("users:\n  anna:\n    pasword: x\n".utf8))
                #expect(chmod(users, 0o600) == 0)
                let wrong = try await serve()
                #expect(wrong.code == 64 && wrong.errors.contains("users.yaml:3:"), "\(wrong.errors)")
                #expect(!workshop.exists("apus.db"), "nothing was opened before")
            }
        }

        @Test("A password in the server's address is blanked in the list of processes")
        func hidesPasswords() async throws {
            try await Workshop.open { workshop in
                let users = workshop.path("users.yaml")
                try await add(workshop, "--subscribe", "#")
                let broker = try await workshop.broker("--users", users)
                let server = "apus://anna:tr%C3%A4umerei@127.0.0.1:\(broker.port)"
                let child = try workshop.apus("sub", "a", "--verbose", "-s", server)
                let line = try await child.says("connected to")
                #expect(!line.contains("umerei"))
                let title = try String(contentsOfFile: "/proc/\(child.pid)/cmdline", encoding: .utf8)
                #expect(!title.contains("umerei"))
                #expect(title.contains("apus://anna:**************@127.0.0.1"), "\(title)")
            }
        }
    }
}
