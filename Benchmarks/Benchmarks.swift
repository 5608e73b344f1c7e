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
            print(try await broker(load, subscribers, usesLibrary: true))
            return
        }
        print("\(publishers) publishers x \(inFlight) in flight, \(size) bytes, synced, \(seconds) s a measurement")
        var ratios: [Double] = []
        var costs: [Double] = []
        var libraryCosts: [Double] = []
        for round in 1...rounds {
            // Before and after the others: what the machine's other work does to the figures shows, and halves.
            let first = try await broker(load, 0)
            let plain = try PlainLoop.measure(batch: first.batch, size: size, seconds: seconds, folder: folder)
            let drained = try await broker(load, subscribers)
            let read = try await broker(load, subscribers, usesLibrary: true)
            let second = try await broker(load, 0)
            let alone = (first.rate + second.rate) / 2
            ratios.append(alone / plain)
            costs.append(1 - drained.rate / alone)
            libraryCosts.append(1 - read.rate / alone)
            print("round \(round)")
            print("  broker                        \(first)")
            print("  broker, again                 \(second)")
            print("  + \(subscribers) draining subscriber(s)    \(drained)")
            print("  + \(subscribers) of the client library     \(read)")
            print("  plain SQLite loop             \(Int(plain))/s with \(first.batch) messages a commit")
            print("  broker / plain                \(rounded(alone / plain))")
        }
        print("median broker / plain                 \(rounded(median(ratios)))")
        print("median cost of draining subscribers   \(rounded(median(costs)))")
        print("median cost of library subscribers    \(rounded(median(libraryCosts)))")
    }

    private func broker(_ load: Load, _ subscribers: Int, usesLibrary: Bool = false) async throws -> BrokerRun.Result {
        try await BrokerRun.measure(
            load, subscribers: subscribers, usesLibrary: usesLibrary, eventLoops: eventLoops, folder: folder)
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
