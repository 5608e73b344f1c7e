internal import ArgumentParser

/// The one binary.
@main
struct Apus: AsyncParsableCommand {
    static let versionNumber = "0.1.0"

    static let configuration = CommandConfiguration(
        commandName: "apus",
        abstract: "A persistent message relay: one binary, one SQLite file.",
        discussion: """
            A FIRST TOUR
              apus serve &
              apus sub -v 'greetings/#' &
              apus pub greetings/en -m hello
              apus history

            \(ExitStatus.help)
            """,
        version: "apus \(versionNumber)",
        groupedSubcommands: [
            CommandGroup(
                name: "Messages",
                subcommands: [PublishCommand.self, SubscribeCommand.self, HistoryCommand.self, GetCommand.self]),
            CommandGroup(name: "The broker", subcommands: [ServeCommand.self]),
            CommandGroup(name: "Looking around", subcommands: [TopicsCommand.self, StatusCommand.self]),
            CommandGroup(name: "Other", subcommands: [BenchCommand.self, CompletionsCommand.self]),
        ])

    static func main() async {
        await main(WaitTime.spelledOut(Array(CommandLine.arguments.dropFirst())))
    }
}
