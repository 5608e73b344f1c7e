import ApusModel
import ApusWire
import Testing

@testable import ApusClient

@Suite("Who logs in")
struct LoginTests {
    private func hello(_ server: String, _ change: (inout ClientConfiguration) -> Void = { _ in }) throws -> [Secret?] {
        var configuration = ClientConfiguration(endpoint: try Endpoint(server))
        change(&configuration)
        let hello = try ClientSession.Settings(configuration).hello
        return [Secret(optional: hello.user), hello.password, hello.token]
    }

    @Test("is who the endpoint says, or the configuration, or nobody; a token stands for both")
    func whoLogsIn() throws {
        #expect(try hello("host") == [nil, nil, nil])
        #expect(try hello("apus://anna:p%40ss@host") == ["anna", "p@ss", nil])
        #expect(try hello("apus://anna:p@host") { ($0.user, $0.password) = ("otto", "q") } == ["otto", "q", nil])
        #expect(try hello("apus://anna:p@host") { $0.token = "t" } == [nil, nil, "t"])
    }

    @Test("is not shown with the password where a configuration is printed")
    func redacted() throws {
        var configuration = ClientConfiguration(endpoint: try Endpoint("apus://anna:hunter1@host"))
        (configuration.password, configuration.token) = ("hunter2", "hunter3")
        var dumped = ""
        dump(configuration, to: &dumped)
        for text in ["\(configuration)", String(reflecting: configuration), dumped] {
            #expect(!text.contains("hunter"), "\(text)")
        }
    }
}
