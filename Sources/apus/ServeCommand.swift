internal import ApusModel
internal import ApusSecurity
internal import ApusServer
internal import ApusStore
internal import ArgumentParser
internal import Glibc
internal import Logging

/// `apus serve`: the broker.
struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Run the broker.",
        discussion: """
            Keeps its messages in one SQLite file, which is created where there is \
            none. Stops cleanly on Ctrl-C or SIGTERM: answers what is in flight, says \
            goodbye, checkpoints; a second signal ends it at once, and what was \
            acknowledged is safe all the same.

            EXAMPLES
              apus serve
              apus serve --db /var/lib/apus/apus.db --listen 127.0.0.1:2787
              apus serve --listen :2787 --users /etc/apus/users.yaml
              apus serve --listen :2787 --allow-anonymous
              apus serve --listen 127.0.0.1:0 --outbox-bytes 262144
            """)

    @OptionGroup(title: "The broker")
    var options: ServeOptions

    @OptionGroup(title: "Limits")
    var limitOptions: LimitOptions

    func validate() throws {
        do throws(ApusError) {
            _ = try brokerConfiguration()
        } catch {
            throw error.validation
        }
    }

    func run() async throws {
        signal(SIGPIPE, SIG_IGN)
        do throws(ApusError) {
            var configuration = try brokerConfiguration()
            if let users = options.users { configuration.access = try FileAccessControl(path: users) }
            let process = BrokerProcess(
                configuration: configuration, db: options.db, migrates: !options.noMigrate)
            try await process.run()
        } catch {
            Console.error(error)
            throw ExitStatus(error.code).exitCode
        }
    }

    private func brokerConfiguration() throws(ApusError) -> Broker.Configuration {
        var configuration = Broker.Configuration()
        if !options.listen.isEmpty { configuration.listen = options.listen }
        configuration.limits = try limitOptions.limits()
        if let eventLoops = options.eventLoops {
            guard (1...1_024).contains(eventLoops) else {
                throw ApusError(.usage, "--event-loops is \(eventLoops), it may be 1 to 1024")
            }
            configuration.eventLoops = eventLoops
        }
        if let defaultTopic = options.defaultTopic { configuration.defaultTopic = try Topic(defaultTopic) }
        configuration.allowsAnonymous = options.allowAnonymous
        configuration.version = Apus.versionNumber
        configuration.logger = ServeLog.logger(level: options.logLevel.level)
        return configuration
    }
}

/// What to serve, and where: before the limits in the help.
struct ServeOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The file that holds the log.", valueName: "file"))
    var db = "apus.db"

    @Flag(help: "Refuse a log of an older schema, instead of writing a copy and bringing it up to date.")
    var noMigrate = false

    @Option(
        help: ArgumentHelp(
            "Where to listen; repeatable. Port 0 takes a free one, an empty host is all interfaces. (default: 127.0.0.1:2787 and [::1]:2787)",
            valueName: "host:port"),
        transform: parsing { (text) throws(ApusError) in try ListenAddress(text) })
    var listen: [ListenAddress] = []

    @Option(
        help: ArgumentHelp(
            "The users and their rights, as apus user writes them. Without it everybody may everything.",
            valueName: "file"))
    var users: String?

    @Flag(
        help:
            "Let in who does not log in. Without users that is everybody, who may everything then, also from other machines."
    )
    var allowAnonymous = false

    @Option(
        help: ArgumentHelp("Where a publish that names no topic goes. Without it, it is refused.", valueName: "topic"))
    var defaultTopic: String?

    @Option(help: ArgumentHelp("Threads for connections. (default: one per two cores)", valueName: "count"))
    var eventLoops: Int?

    @Option(
        help: ArgumentHelp("What to log: trace, debug, info, notice, warning, error, critical.", valueName: "level"))
    var logLevel = LogLevel.notice
}

/// swift-log's levels, by name.
enum LogLevel: String, ExpressibleByArgument, CaseIterable {
    case trace, debug, info, notice, warning, error, critical

    var level: Logger.Level { Logger.Level(rawValue: rawValue) ?? .notice }
}
