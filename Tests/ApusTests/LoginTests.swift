import ApusClient
import ApusModel
import ArgumentParser
import Foundation
import Testing

@testable import apus

@Suite("Logging in from the command line")
struct LoginTests {
    private func file(_ text: String) throws -> String {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("apus-login-\(UUID().uuidString)").path
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        return path
    }

    private func login(_ server: String, _ arguments: [String]) throws -> ClientConfiguration {
        var configuration = ClientConfiguration(endpoint: try Endpoint(server))
        try LoginOptions.parse(arguments).apply(to: &configuration)
        return configuration
    }

    @Test("takes the password from a file, without the end of its line")
    func passwordFile() throws {
        for text in ["secret", "secret\n", "secret\r\n"] {
            let path = try file(text)
            defer { unlink(path) }
            let configuration = try login("host", ["--user", "anna", "--password-file", path])
            #expect(configuration.user == "anna")
            #expect(configuration.password == "secret")
        }
        let path = try file("two\n\n")
        defer { unlink(path) }
        #expect(try login("host", ["--user", "anna", "--password-file", path]).password == "two\n")
    }

    @Test("takes what the server's address says, unless a flag says something else")
    func address() throws {
        let configuration = try login("apus://anna:secret@host", [])
        #expect(configuration.user == "anna" && configuration.password == "secret")
        let path = try file("other")
        defer { unlink(path) }
        let other = try login("apus://anna:secret@host", ["--user", "otto", "--password-file", path])
        #expect(other.user == "otto" && other.password == "other")
        let token = try login("apus://anna:secret@host", ["--token-file", path])
        #expect(token.token == "other" && token.user == nil && token.password == nil)
    }

    @Test("names the user beside a token, so that the broker refuses somebody else's")
    func tokenOfUser() throws {
        let path = try file("secret")
        defer { unlink(path) }
        let configuration = try login("host", ["--user", "otto", "--token-file", path])
        #expect(configuration.user == "otto" && configuration.token == "secret")
    }

    @Test(
        "never shows a password in what is said about the address",
        arguments: ["@host:x", "@host:", "@[::1", "@ho st", "", "@host:1/x"])
    func wrongAddress(_ place: String) {
        let error = #expect(throws: (any Error).self) {
            try ConnectionOptions.parse(["-s", "apus://anna:geheim\(place)"])
        }
        let text = error.map { ConnectionOptions.fullMessage(for: $0) } ?? ""
        #expect(text.contains("address") && !text.contains("geheim"), "\(text)")
    }

    @Test("refuses what contradicts itself, and files that hold no secret")
    func contradictions() throws {
        let path = try file("x")
        let empty = try file("\n")
        let long = try file(String(repeating: "x", count: 5_000))
        defer { for path in [path, empty, long] { unlink(path) } }
        for arguments in [
            ["--password-file", path], ["--token-file", path, "--password-file", path],
            ["--user", "anna", "--password-file", empty], ["--user", "anna", "--password-file", long],
        ] {
            let error = #expect(throws: ApusError.self) { try login("host", arguments) }
            #expect(error?.code == .usage)
        }
        #expect(throws: ApusError.self) { try login("host", ["--token-file", "/no/such/file"]) }
    }

    @Test(
        "finds the password that the list of processes must not show",
        arguments: [
            ("apus://anna:secret@host", "secret"), ("--server=apus://anna:secret@host:1", "secret"),
            ("-sapuss://a:b:c@host", "b:c"), ("apus+unix://a:p@/path@x", "p"), ("apus://a:x@y@host/z", "x@y"),
            ("apus://anna@host", ""), ("apus://host:2787", ""), ("https://a:b@host", ""), ("", ""), ("a:b@c", ""),
            ("-m=hello apus://a:b@host", ""), ("APUS://anna:secret@host", "secret"),
        ])
    func blanks(_ argument: String, _ password: String) {
        let bytes = Array(argument.utf8)
        #expect(String(decoding: bytes[ProcessTitle.password(in: bytes)], as: UTF8.self) == password)
    }
}
