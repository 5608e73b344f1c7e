internal import Atomics

/// How values are spread over fixed buckets. Any thread records, once a commit; two relaxed additions.
package final class Distribution: Sendable {
    /// The buckets' upper bounds, ascending, in the unit in which values are recorded.
    private let bounds: [Int]
    /// Recorded units in one of the unit that is shown: 1e9 for nanoseconds shown as seconds.
    private let scale: Double
    /// One more than bounds: the last one has no bound.
    private let buckets: [ManagedAtomic<Int>]
    private let total = ManagedAtomic<Int>(0)

    /// - Parameters:
    ///   - bounds: upper bounds, ascending, in the unit in which values are recorded.
    ///   - scale: recorded units in one of the unit that is shown.
    package init(bounds: [Int], scale: Double = 1) {
        self.bounds = bounds
        self.scale = scale
        buckets = (0...bounds.count).map { _ in ManagedAtomic<Int>(0) }
    }

    package func record(_ value: Int) {
        // Sixteen bounds or so: a search would not be faster.
        let index = bounds.firstIndex { value <= $0 } ?? bounds.count
        buckets[index].wrappingIncrement(ordering: .relaxed)
        total.wrappingIncrement(by: value, ordering: .relaxed)
    }

    package struct Snapshot: Hashable, Sendable {
        package struct Bucket: Hashable, Sendable {
            /// In the unit that is shown; nil for no bound.
            package let upTo: Double?
            /// Values up to the bound, those of the buckets before it included.
            package let count: Int
        }

        package let buckets: [Bucket]
        package let sum: Double

        package var count: Int { buckets.last?.count ?? 0 }
    }

    /// The count is the sum of the buckets, so that the two always agree, also while values are recorded.
    package var snapshot: Snapshot {
        var count = 0
        let values = buckets.enumerated().map { index, bucket in
            count += bucket.load(ordering: .relaxed)
            return Snapshot.Bucket(upTo: index < bounds.count ? Double(bounds[index]) / scale : nil, count: count)
        }
        return Snapshot(buckets: values, sum: Double(total.load(ordering: .relaxed)) / scale)
    }
}

extension Distribution {
    /// Recorded in nanoseconds, shown in seconds: 50 µs to 10 s, which is from a fast disk to one that is in trouble.
    package static func ofSeconds() -> Distribution {
        let microseconds = [
            50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
            2_500_000, 10_000_000,
        ]
        return Distribution(bounds: microseconds.map { $0 * 1_000 }, scale: 1e9)
    }

    /// Powers of four: from one message to as many as a commit takes.
    package static func ofCounts() -> Distribution {
        Distribution(bounds: (0...8).map { 1 << (2 * $0) })
    }

    /// Powers of four: 256 B to 16 MiB.
    package static func ofBytes() -> Distribution {
        Distribution(bounds: (4...12).map { 1 << (2 * $0) })
    }
}
