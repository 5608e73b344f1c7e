/// One metric as it is shown: what it is, and what is known of it now.
package struct MetricFamily: Sendable {
    package enum Value: Sendable {
        case number(Double)
        case distribution(Distribution.Snapshot)
    }

    package struct Sample: Sendable {
        package let labels: [(name: String, value: String)]
        package let value: Value

        package init(labels: [(name: String, value: String)] = [], value: Value) {
            self.labels = labels
            self.value = value
        }
    }

    package let metric: Metric
    package let samples: [Sample]

    package init(_ metric: Metric, _ samples: [Sample]) {
        self.metric = metric
        self.samples = samples
    }

    package init(_ metric: Metric, _ value: Int) { self.init(metric, Double(value)) }

    package init(_ metric: Metric, _ value: Double) {
        self.init(metric, [Sample(value: .number(value))])
    }

    package init(_ metric: Metric, _ distribution: Distribution) {
        self.init(metric, [Sample(value: .distribution(distribution.snapshot))])
    }

    /// One number for each value of the metric's one label.
    package init(_ metric: Metric, by label: String, _ values: [(String, Int)]) {
        self.init(
            metric, values.map { Sample(labels: [(label, $0.0)], value: .number(Double($0.1))) })
    }
}
