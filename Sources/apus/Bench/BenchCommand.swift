internal import ApusModel
internal import ArgumentParser

/// `apus bench`: how fast the broker is, end to end.
struct BenchCommand: ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure publishing and delivery.", usage: "apus bench [<options>]",
        discussion: """
            Publishers send as fast as receipts come back; the rates are those of acknowledged and of received \
            messages. Messages go to bench/0, bench/1 …: not for a log that is kept.

            EXAMPLES
              apus bench
              apus bench --publishers 1 --in-flight 1      the latency of a single publish
              apus bench --publishers 64 --level stored --subscribers 16 --json
            """)

    @Option(help: "Connections that publish.")
    var publishers = 8

    @Option(help: "Messages of each that wait for their receipt.")
    var inFlight = 1_000

    @Option(help: "Bytes of a payload.")
    var size = 128

    @Option(help: "How long to measure.")
    var seconds = 5.0

    @Option(help: "How long to run before.")
    var warmUp = 0.5

    @Option(help: "Connections that subscribe to everything that is published.")
    var subscribers = 1

    @Option(
        help: ArgumentHelp("none, stored, or synced (the default).", valueName: "level"),
        completion: .list(AckLevel.allCases.map(\.name)), transform: parsing(AckLevel.parse))
    var level = AckLevel.synced

    @Flag(help: "The results as a JSON object.")
    var json = false

    @OptionGroup(title: "The broker")
    var connection: ConnectionOptions

    var console: Console { connection.console }

    func validate() throws {
        guard (1...10_000).contains(publishers), (1...1_000_000).contains(inFlight), (0...10_000).contains(subscribers),
            (0...(1 << 30)).contains(size), seconds > 0, seconds <= 86_400, (0...3_600).contains(warmUp)
        else { throw ValidationError("a number is out of range: at least one publisher, in flight, and some time") }
    }

    func perform() async throws -> ExitStatus {
        let plan = BenchPlan(
            publishers: publishers, inFlight: inFlight, size: size, seconds: seconds, warmUpSeconds: warmUp,
            subscribers: subscribers, level: level)
        let target = try await BenchTarget.open(connection)
        let result: Result<BenchReport, any Error>
        do {
            result = .success(try await BenchRun(plan: plan, target: target).measure())
        } catch {
            result = .failure(error)
        }
        await target.stop()
        let report = try result.get()
        if Interrupts.isRequested { return .interrupted }
        let output = Output()
        output.write { out in
            if json { out += report.json.bytes + [0x0A] } else { report.appendTable(to: &out) }
        }
        output.flush()
        return .done
    }
}
