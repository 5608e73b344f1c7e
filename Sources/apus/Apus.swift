internal import ApusModel
internal import ArgumentParser
internal import Glibc

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
            CommandGroup(name: "The broker", subcommands: [ServeCommand.self, UserCommand.self]),
            CommandGroup(
                name: "Looking around",
                subcommands: [TopicsCommand.self, StatusCommand.self, TopCommand.self, HealthCommand.self]),
            CommandGroup(name: "Other", subcommands: [BenchCommand.self, CompletionsCommand.self]),
        ])

    static func main() async {
        if let number = firstArgumentNotUTF8() {
            Console.error(
                ApusError(
                    .invalidEncoding, "argument \(number) is not UTF-8",
                    hint: "Bytes that are not UTF-8 go in with -f or through standard input."))
            Glibc.exit(ExitStatus.badData.rawValue)
        }
        let arguments = Array(CommandLine.arguments.dropFirst())
        if let error = UnknownCommand.error(in: arguments, names: commandNames) {
            Console.error(error)
            Glibc.exit(ExitStatus.usage.rawValue)
        }
        ProcessTitle.hidePasswords()
        await main(WaitTime.spelledOut(arguments))
    }

    static var commandNames: [String] { configuration.subcommands.compactMap { $0.configuration.commandName } }

    /// Swift repairs such arguments in silence; a payload would change on its way.
    private static func firstArgumentNotUTF8() -> Int? {
        (1..<max(1, Int(CommandLine.argc))).first { index in
            CommandLine.unsafeArgv[index].map { String(validatingCString: $0) == nil } ?? false
        }
    }
}
