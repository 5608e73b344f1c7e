internal import ApusModel
internal import ArgumentParser

/// Durable publish and delivery through the whole broker, beside a plain SQLite loop with the same schema and batch
/// size in the same run: figures of different runs, or machines, do not compare, the ratios do.
@main
struct Benchmarks: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "apus-benchmarks",
        abstract: "Measure the broker against a plain SQLite loop in the same run.")

    @Option(help: "Publishers, each with a connection of its own.")
    var publishers = 8

    @Option(help: "Unacknowledged messages of each publisher.")
    var inFlight = 1_000

    @Option(help: "Bytes of each payload.")
    var size = 128

    @Option(help: "Seconds of each measurement.")
    var seconds = 5.0

    @Option(help: "How often everything is measured; the median counts.")
    var rounds = 3

    @Option(help: "Event loops of the broker.")
    var eventLoops: Int?

    @Option(help: "The folder for the logs; removed afterwards.")
    var folder = ".build/benchmarks"

    @Flag(help: "Only the broker without subscribers: for a profiler.")
    var profile = false

    @Option(help: "Subscribers of the second measurement, each of which gets everything.")
    var subscribers = 1

    func run() async throws {
        let load = Load(publishers: publishers, inFlight: inFlight, size: size, seconds: seconds)
        if profile {
            print(try await BrokerRun.measure(load, subscribers: subscribers, eventLoops: eventLoops, folder: folder))
            return
        }
        print("\(publishers) publishers x \(inFlight) in flight, \(size) bytes, synced, \(seconds) s a measurement")
        var ratios: [Double] = []
        var costs: [Double] = []
        for round in 1...rounds {
            let alone = try await BrokerRun.measure(load, subscribers: 0, eventLoops: eventLoops, folder: folder)
            let plain = try PlainLoop.measure(batch: alone.batch, size: size, seconds: seconds, folder: folder)
            let relayed = try await BrokerRun.measure(
                load, subscribers: subscribers, eventLoops: eventLoops, folder: folder)
            ratios.append(alone.rate / plain)
            costs.append(1 - relayed.rate / alone.rate)
            print("round \(round)")
            print("  broker                   \(alone)")
            print("  broker, \(subscribers) subscriber(s)  \(relayed)")
            print("  plain SQLite loop        \(Int(plain))/s with \(alone.batch) messages a commit")
            print("  broker / plain           \(rounded(alone.rate / plain))")
            print("  cost of subscribers      \(rounded(1 - relayed.rate / alone.rate))")
        }
        print("median broker / plain      \(rounded(median(ratios)))")
        print("median cost of subscribers \(rounded(median(costs)))")
    }

    private func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }
    private func rounded(_ value: Double) -> Double { (value * 1_000).rounded() / 1_000 }
}

/// What the publishers do.
struct Load: Sendable {
    let publishers: Int
    let inFlight: Int
    let size: Int
    let seconds: Double
}
