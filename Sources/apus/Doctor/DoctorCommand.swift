internal import ApusModel
internal import ApusSettings
internal import ArgumentParser
internal import Foundation

/// `apus doctor`: whether this machine is fit for a broker.
struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Check this machine: limits, disk, clock, SQLite, ports, certificates, permissions, memory.",
        discussion: """
            Takes the options of 'apus serve' and says what they meet here. Run it as \
            the user that runs the broker. It may run beside a broker: it never \
            opens or locks the log.

            Each check is ok, a warning or a problem, with what was found and what \
            to do. Exits with 1 where there is a problem.

            EXAMPLES
              apus doctor --config /etc/apus/apus.yaml
              apus doctor --db /var/lib/apus/apus.db
              apus doctor --json | jq 'select(.state != "ok")'
            """)

    @Option(help: ArgumentHelp("The configuration file.", valueName: "file"))
    var config: String?

    @Option(help: ArgumentHelp("The file that holds the log, or will. (default: apus.db)", valueName: "file"))
    var db: String?

    @Option(
        help: ArgumentHelp(
            "Where the broker listens; repeatable. (default: 127.0.0.1:2787 and [::1]:2787)", valueName: "host:port"))
    var listen: [String] = []

    @Option(help: ArgumentHelp("Where it serves HTTP. (default: nowhere)", valueName: "host:port"))
    var http: String?

    @Option(help: ArgumentHelp("The users file. (default: none)", valueName: "file"))
    var users: String?

    @Option(help: ArgumentHelp("How often to write and sync, to see how long it takes.", valueName: "count"))
    var syncs = 200

    @Flag(help: "A JSON object a line.")
    var json = false

    @OptionGroup(title: "Limits")
    var limitOptions: LimitOptions

    func validate() throws {
        guard (1...100_000).contains(syncs) else { throw ValidationError("--syncs may be 1 to 100000") }
    }

    func run() async throws {
        signal(SIGPIPE, SIG_IGN)
        let settings: Settings
        do throws(SettingsFailure) {
            settings = try loader.load().settings
        } catch {
            Console.line("apus: \(error.title)")
            for line in error.lines { Console.line("  \(line)") }
            throw ExitStatus.usage.exitCode
        }
        let findings = examine(settings)
        let output = Output()
        for finding in findings {
            if json {
                output.writeJSON { $0 += finding.json.bytes + [0x0A] }
            } else {
                output.write { DoctorCommand.append(finding, to: &$0) }
            }
        }
        output.flush()
        if findings.contains(where: { $0.state == .problem }) { throw ExitStatus.failure.exitCode }
    }

    /// As `apus serve` would read them.
    private var loader: SettingsLoader {
        var flags = Flags()
        flags.configuration = config
        flags.set("db", db)
        for address in listen { flags.listen(address) }
        flags.set("http.address", http)
        flags.set("users", users)
        for (name, value) in limitOptions.given { flags.set("limits.\(name)", value?.text) }
        // What other machines reach is checked by `apus serve`.
        flags.set("allow-anonymous", "true")
        return SettingsLoader(flags: flags, environment: ProcessInfo.processInfo.environment)
    }

    private func examine(_ settings: Settings) -> [Finding] {
        let log = LogPlace(settings.db.value)
        let broker = log.brokerProcess
        let limits = settings.limits
        var ports = settings.listeners.compactMap { PortCheck.Place($0.address.value, option: "--listen") }
        if let http = settings.http.address.value, let place = PortCheck.Place(http, option: "--http") {
            ports.append(place)
        }
        let sockets = settings.listeners.compactMap { listener in
            guard case .unix(let path) = listener.address.value else { return nil as Finding? }
            return UnixSocketCheck.check(path, broker: broker)
        }
        let clock = ClockCheck()
        return DescriptorCheck.check(limits)
            + DiskCheck.check(log)
            + PermissionCheck.check(log, users: settings.users.value)
            + SyncCheck.check(log, rounds: syncs)
            + clock.check(log)
            + SQLiteCheck.check()
            + PortCheck.check(ports, broker: broker)
            + sockets
            + CertificateCheck.check(settings.listeners)
            + MemoryCheck.check(limits)
    }

    private static func append(_ finding: Finding, to out: inout [UInt8]) {
        func padded(_ text: String, _ width: Int) -> String {
            text + String(repeating: " ", count: max(1, width - text.count))
        }
        let line = padded(finding.state.rawValue, 9) + padded(finding.check, 13) + finding.found
        TerminalText.append(Array(line.utf8), to: &out, newlines: .shown)
        out.append(0x0A)
        guard let advice = finding.advice else { return }
        TerminalText.append(Array((padded("", 22) + advice).utf8), to: &out, newlines: .shown)
        out.append(0x0A)
    }
}

extension PortCheck.Place {
    /// - Returns: nil for a Unix socket, which has no port.
    init?(_ address: BindAddress, option: String) {
        guard case .tcp(let host, let port) = address else { return nil }
        self.init(host: host, port: port, option: option)
    }
}
