internal import ApusHTTP
internal import ApusModel
internal import ApusServer
internal import ArgumentParser
internal import Glibc

/// `apus doctor`: whether this machine is fit for a broker.
struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Check this machine: limits, disk, clock, SQLite, ports, permissions, memory.",
        discussion: """
            Takes the options of 'apus serve' and says what they meet here. Run it as \
            the user that runs the broker. It may run beside a broker: it never \
            opens or locks the log.

            Each check is ok, a warning or a problem, with what was found and what \
            to do. Exits with 1 where there is a problem.

            EXAMPLES
              apus doctor --db /var/lib/apus/apus.db
              apus doctor --json | jq 'select(.state != "ok")'
            """)

    @Option(help: ArgumentHelp("The file that holds the log, or will.", valueName: "file"))
    var db = "apus.db"

    @Option(
        help: ArgumentHelp(
            "Where the broker listens; repeatable. (default: 127.0.0.1:2787 and [::1]:2787)", valueName: "host:port"),
        transform: parsing { (text) throws(ApusError) in try ListenAddress(text) })
    var listen: [ListenAddress] = []

    @Option(
        help: ArgumentHelp("Where it serves HTTP. (default: nowhere)", valueName: "host:port"),
        transform: parsing { (text) throws(ApusError) in try HTTPAddress(text) })
    var http: HTTPAddress?

    @Option(help: ArgumentHelp("The users file. (default: none)", valueName: "file"))
    var users: String?

    @Option(help: ArgumentHelp("How often to write and sync, to see how long it takes.", valueName: "count"))
    var syncs = 200

    @Flag(help: "A JSON object a line.")
    var json = false

    @OptionGroup(title: "Limits")
    var limitOptions: LimitOptions

    func validate() throws {
        do throws(ApusError) {
            _ = try limitOptions.limits()
        } catch {
            throw error.validation
        }
        guard (1...100_000).contains(syncs) else { throw ValidationError("--syncs may be 1 to 100000") }
    }

    func run() async throws {
        signal(SIGPIPE, SIG_IGN)
        let findings = examine(try limitOptions.limits())
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

    private func examine(_ limits: Limits) -> [Finding] {
        let log = LogPlace(db)
        let broker = log.brokerProcess
        var ports = (listen.isEmpty ? ListenAddress.loopback : listen).map {
            PortCheck.Place(host: $0.host, port: $0.port, option: "--listen")
        }
        if let http { ports.append(PortCheck.Place(host: http.host, port: http.port, option: "--http")) }
        let clock = ClockCheck()
        return DescriptorCheck.check(limits)
            + DiskCheck.check(log)
            + PermissionCheck.check(log, users: users)
            + SyncCheck.check(log, rounds: syncs)
            + clock.check(log)
            + SQLiteCheck.check()
            + PortCheck.check(ports, broker: broker)
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
