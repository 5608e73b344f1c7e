internal import ApusClient
internal import ApusModel
internal import ArgumentParser

/// `apus status`: how the broker is doing.
struct StatusCommand: ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show the broker's version, log, connections, cursors and limits.",
        discussion: """
            EXAMPLES
              apus status
              apus status --json | jq .
              apus status -s apus://broker.example:2787 --wait=30
            """)

    @Flag(help: "The status as one JSON object, as the broker sent it.")
    var json = false

    @OptionGroup(title: "The broker")
    var connection: ConnectionOptions

    var console: Console { connection.console }

    func perform() async throws -> ExitStatus {
        let client = try await connection.connect()
        let text = try await client.status()
        let output = Output()
        if json {
            output.writeJSON { $0 += "\(text)\n".utf8 }
        } else {
            let status = try JSONParser.parse(text)
            output.write { StatusTable.append(status, to: &$0) }
        }
        output.flush()
        _ = await client.close()
        return .done
    }
}
