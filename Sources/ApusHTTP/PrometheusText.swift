package import ApusBroker

/// Metrics in Prometheus' text format, version 0.0.4.
package enum PrometheusText {
    package static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    package static func write(_ families: [MetricFamily]) -> String {
        var out = ""
        for family in families {
            let metric = family.metric
            out += "# HELP \(metric.name) \(escapedHelp(metric.help))\n"
            out += "# TYPE \(metric.name) \(metric.kind.rawValue)\n"
            for sample in family.samples { write(sample, of: metric.name, to: &out) }
        }
        return out
    }

    private static func write(_ sample: MetricFamily.Sample, of name: String, to out: inout String) {
        switch sample.value {
        case .number(let value): write(name, sample.labels, value, to: &out)
        case .distribution(let snapshot):
            for bucket in snapshot.buckets {
                let bound = bucket.upTo.map(number) ?? "+Inf"
                write("\(name)_bucket", sample.labels + [("le", bound)], Double(bucket.count), to: &out)
            }
            write("\(name)_sum", sample.labels, snapshot.sum, to: &out)
            write("\(name)_count", sample.labels, Double(snapshot.count), to: &out)
        }
    }

    private static func write(
        _ name: String, _ labels: [(name: String, value: String)], _ value: Double, to out: inout String
    ) {
        out += name
        if !labels.isEmpty {
            out += "{" + labels.map { "\($0.name)=\"\(escapedLabel($0.value))\"" }.joined(separator: ",") + "}"
        }
        out += " \(number(value))\n"
    }

    /// Whole numbers without a point, as far as a Double holds them exactly.
    private static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        return Int64(exactly: value).map { abs($0) < 1 << 53 ? "\($0)" : "\(value)" } ?? "\(value)"
    }

    private static func escapedHelp(_ text: String) -> String {
        text.replacing("\\", with: "\\\\").replacing("\n", with: "\\n")
    }

    private static func escapedLabel(_ text: String) -> String {
        text.replacing("\\", with: "\\\\").replacing("\n", with: "\\n").replacing("\"", with: "\\\"")
    }
}
