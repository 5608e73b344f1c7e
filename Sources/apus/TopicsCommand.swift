internal import ApusClient
internal import ApusModel
internal import ArgumentParser

/// `apus topics`: which topics there are.
struct TopicsCommand: ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "topics",
        abstract: "List topics, with how many messages each has.",
        discussion: """
            Exits with 2 where no topic matches.

            EXAMPLES
              apus topics
              apus topics 'sensors/#' --json
            """)

    @Argument(help: "Topic filters: a/b, a/+/c, a/#. Without one, every topic.")
    var filters: [String] = []

    @Flag(help: "A JSON object a line.")
    var json = false

    @OptionGroup(title: "The broker")
    var connection: ConnectionOptions

    var console: Console { connection.console }

    func validate() throws {
        do throws(ApusError) {
            for filter in filters { _ = try TopicFilter(filter) }
        } catch {
            throw error.validation
        }
    }

    func perform() async throws -> ExitStatus {
        let client = try await connection.connect()
        let topics = try await client.topics(filters)
        let output = Output()
        if json { writeJSON(topics, output) } else { writeTable(topics, output) }
        output.flush()
        _ = await client.close()
        if topics.isEmpty { console.note("no topic matches") }
        return topics.isEmpty ? .nothingMatched : .done
    }

    private func writeJSON(_ topics: [TopicInfo], _ output: Output) {
        for topic in topics {
            let object = JSON.object([
                JSON.Member("topic", .string(topic.topic)), JSON.Member("messages", .unsigned(topic.messages)),
                JSON.Member("last-seq", .unsigned(topic.lastSeq)),
            ])
            output.writeJSON { $0 += object.bytes + [0x0A] }
        }
    }

    private func writeTable(_ topics: [TopicInfo], _ output: Output) {
        var table = Table(
            [
                .init(title: "MESSAGES", alignment: .right), .init(title: "LAST SEQ", alignment: .right),
                .init(title: "TOPIC"),
            ], width: nil)
        output.write { out in
            for topic in topics.sorted(by: { $0.topic < $1.topic }) {
                table.append(
                    [String(topic.messages), String(topic.lastSeq), TerminalText.escaped(topic.topic)], to: &out)
            }
            table.finish(to: &out)
        }
    }
}
