internal import ApusModel
internal import Histogram

/// What a run measured.
struct BenchReport: Sendable {
    let plan: BenchPlan
    let target: String
    var published = LatencyRecorder()
    var delivered = LatencyRecorder()

    static let percentiles = [50.0, 90, 99, 99.9, 100]

    private var measurements: [(name: String, recorder: LatencyRecorder)] {
        let publish = ("published \(plan.level.name)", published)
        return plan.subscribers > 0 ? [publish, ("delivered", delivered)] : [publish]
    }

    private func rate(_ recorder: LatencyRecorder) -> Double { Double(recorder.count) / plan.seconds }

    func appendTable(to out: inout [UInt8]) {
        out +=
            """
            \(target): \(plan.publishers) publishers, \(plan.inFlight) in flight each, \(plan.size) bytes, \
            \(plan.subscribers) subscribers, \(plan.seconds) s\n
            """.utf8
        var table = Table(
            [.init(title: "")]
                + ["MESSAGES/S", "MIB/S", "P50 MS", "P90 MS", "P99 MS", "P99.9 MS", "MAX MS"]
                .map { .init(title: $0, alignment: .right) }, width: nil)
        for (name, recorder) in measurements {
            let bytes = rate(recorder) * Double(plan.size) / 1_048_576
            let latencies = Self.percentiles.map { percentile in
                recorder.histogram.totalCount == 0
                    ? "-" : Self.milliseconds(recorder.histogram.valueAtPercentile(percentile))
            }
            table.append([name, String(Int(rate(recorder))), Self.fixed(bytes, 1)] + latencies, to: &out)
        }
        table.finish(to: &out)
    }

    var json: JSON {
        var members: [JSON.Member] = [
            .init("target", .string(target)), .init("publishers", .integer(Int64(plan.publishers))),
            .init("in-flight", .integer(Int64(plan.inFlight))), .init("size", .integer(Int64(plan.size))),
            .init("subscribers", .integer(Int64(plan.subscribers))), .init("level", .string(plan.level.name)),
            .init("seconds", .number(plan.seconds)),
        ]
        for (name, recorder) in [("published", published), ("delivered", delivered)] {
            var inner: [JSON.Member] = [
                .init("messages", .unsigned(recorder.count)), .init("per-second", .number(rate(recorder).rounded())),
            ]
            if recorder.histogram.totalCount > 0 {
                let latencies = Self.percentiles.map { percentile in
                    JSON.Member(
                        percentile == 100 ? "max" : "p\(percentile == 99.9 ? "99.9" : "\(Int(percentile))")",
                        .unsigned(recorder.histogram.valueAtPercentile(percentile) / 1_000))
                }
                inner.append(.init("latency-microseconds", .object(latencies)))
            }
            members.append(.init(name, .object(inner)))
        }
        return .object(members)
    }

    private static func milliseconds(_ nanoseconds: UInt64) -> String { fixed(Double(nanoseconds) / 1e6, 2) }

    static func fixed(_ value: Double, _ digits: Int) -> String {
        var scale = 1
        for _ in 0..<digits { scale *= 10 }
        let scaled = Int((value * Double(scale)).rounded())
        let fraction = String(scaled % scale)
        return "\(scaled / scale)." + String(repeating: "0", count: digits - fraction.count) + fraction
    }
}
