internal import ApusModel
internal import ApusServer
internal import ApusSettings
internal import ArgumentParser
internal import Foundation
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

            Every option may also stand in a configuration file, and in the \
            environment: --log-level is APUS_LOG_LEVEL, --tail-bytes is \
            APUS_LIMITS_TAIL_BYTES. Flags win over the environment, that over the file. \
            SIGHUP, and a change of the file, reads it again.

            EXAMPLES
              apus serve
              apus serve --db /var/lib/apus/apus.db --listen 127.0.0.1:2787
              apus serve --listen :2787 --users /etc/apus/users.yaml
              apus serve --config /etc/apus/apus.yaml --check-config
              apus serve --listen :2787 --allow-anonymous
              apus serve --listen 127.0.0.1:2787 --listen unix:/run/apus/apus.sock
              apus serve --listen 127.0.0.1:0 --outbox-bytes 256K
            """)

    @OptionGroup(title: "The broker")
    var options: ServeOptions

    @OptionGroup(title: "Limits")
    var limitOptions: LimitOptions

    func validate() throws {
        if options.json, !options.checkConfig { throw ValidationError("--json belongs to --check-config") }
    }

    func run() async throws {
        signal(SIGPIPE, SIG_IGN)
        // The log, what stands beside it, and its copies hold everybody's messages: they are not for everybody.
        umask(umask(0o077) | 0o027)
        let loader = loader(environment: ProcessInfo.processInfo.environment)
        let settings: Settings
        let control: LogControl
        let configuration: Broker.Configuration
        let files: FileWatch
        do throws(SettingsFailure) {
            let loaded = try loader.load()
            settings = loaded.settings
            // Before the files that they name are read: a change in between is seen.
            files = FileWatch(settings.watchedFiles)
            control = LogControl(level: settings.logLevel.value, format: settings.logFormat.value)
            configuration = try Broker.Configuration(
                settings, access: try settings.access(), logger: control.logger())
            let warnings = try configuration.testCertificates(settings)
            if options.checkConfig { for warning in warnings { warning.log(to: configuration.logger) } }
            for warning in loaded.warnings {
                if options.checkConfig {
                    Console.line("apus: \(warning)")
                } else {
                    configuration.logger.warning("\(warning)")
                }
            }
        } catch {
            for warning in error.warnings { Console.line("apus: \(warning)") }
            Console.line("apus: \(error.title)")
            for line in error.lines { Console.line("  \(line)") }
            // Also where it is something that the broker cannot do: it is the settings that have to change.
            throw (error.code == .notAllowed && !options.checkConfig ? ExitStatus.notAllowed : .usage).exitCode
        }
        if options.checkConfig { return check(settings) }
        do throws(ApusError) {
            try await BrokerProcess(
                settings: settings, files: files, loader: loader, configuration: configuration, control: control
            ).run()
        } catch {
            control.fail(error)
            throw ExitStatus(error.code).exitCode
        }
    }

    private func check(_ settings: Settings) {
        let output = Output()
        let width = Terminal.columns(STDOUT_FILENO)
        if options.json {
            output.writeJSON { CheckConfig.append(settings, isJSON: true, width: nil, to: &$0) }
        } else {
            output.write { CheckConfig.append(settings, isJSON: false, width: width, to: &$0) }
        }
        output.flush()
    }

    /// - Parameter environment: of this process; the variables are read as often as the file.
    func loader(environment: [String: String]) -> SettingsLoader {
        var flags = Flags()
        flags.configuration = options.config
        flags.set("db", options.db)
        for address in options.listen { flags.listen(address) }
        flags.set("http.address", options.http)
        if options.anonymousMetrics { flags.set("http.anonymous-metrics", "true") }
        flags.set("users", options.users)
        if options.allowAnonymous { flags.set("allow-anonymous", "true") }
        if options.noMigrate { flags.set("migrate", "false") }
        flags.set("default-topic", options.defaultTopic)
        flags.set("event-loops", options.eventLoops)
        flags.set("log.level", options.logLevel)
        flags.set("log.format", options.logFormat)
        for (name, value) in limitOptions.given { flags.set("limits.\(name)", value?.text) }
        return SettingsLoader(flags: flags, environment: environment)
    }
}

/// What to serve, and where: before the limits in the help. All as text: the settings know what it means, and how it
/// goes together with the file and the environment.
struct ServeOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The configuration file; config/apus.yaml is a sample.", valueName: "file"))
    var config: String?

    @Flag(help: "Print what is in force and where each value comes from, or everything that is wrong; do not serve.")
    var checkConfig = false

    @Flag(help: "With --check-config: an object a line.")
    var json = false

    @Option(help: ArgumentHelp("The file that holds the log. (default: apus.db)", valueName: "file"))
    var db: String?

    @Flag(help: "Refuse a log of an older schema, instead of writing a copy and bringing it up to date.")
    var noMigrate = false

    @Option(
        help: ArgumentHelp(
            "Where to listen: HOST:PORT or unix:/path; repeatable. Port 0 takes a free one, an empty host is all interfaces. TLS is for the configuration file. (default: 127.0.0.1:2787 and [::1]:2787)",
            valueName: "host:port"))
    var listen: [String] = []

    @Option(
        help: ArgumentHelp(
            "Where to serve /healthz, /readyz and /metrics over HTTP; the port is 2788 if left out. (default: nowhere)",
            valueName: "host:port"))
    var http: String?

    @Flag(help: "Show /metrics also to who does not log in, although there are users.")
    var anonymousMetrics = false

    @Option(
        help: ArgumentHelp(
            "The users and their rights, as apus user writes them. Without it everybody may do everything.",
            valueName: "file"))
    var users: String?

    @Flag(
        help:
            "Let in who does not log in. Without users that is everybody, who may do everything then, also from other machines."
    )
    var allowAnonymous = false

    @Option(
        help: ArgumentHelp("Where a publish that names no topic goes. Without it, it is refused.", valueName: "topic"))
    var defaultTopic: String?

    @Option(help: ArgumentHelp("Threads for connections. (default: one per two cores)", valueName: "count"))
    var eventLoops: String?

    @Option(
        help: ArgumentHelp(
            "What to log: trace, debug, info, notice, warning, error, critical. (default: notice)", valueName: "level"),
        completion: .list(SettingsOption.logLevels))
    var logLevel: String?

    @Option(
        help: ArgumentHelp("How to log: text, or json (an object a line). (default: text)", valueName: "format"),
        completion: .list(LogFormat.allCases.map(\.rawValue)))
    var logFormat: String?
}
