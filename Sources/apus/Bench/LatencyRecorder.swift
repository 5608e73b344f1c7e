internal import Histogram

/// Latencies in nanoseconds, to three digits, and how many messages had them. For one task.
struct LatencyRecorder: Sendable {
    private(set) var histogram = Histogram<UInt64>(highestTrackableValue: 60_000_000_000)
    private(set) var count: UInt64 = 0

    mutating func record(_ nanoseconds: UInt64, count: UInt64) {
        self.count += count
        histogram.record(min(nanoseconds, 60_000_000_000), count: count)
    }

    /// Counts what has no latency.
    mutating func record(count: UInt64) { self.count += count }

    mutating func add(_ other: LatencyRecorder) {
        count += other.count
        histogram.add(other.histogram)
    }
}
