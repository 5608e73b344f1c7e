internal import ApusModel

/// `--rate`: `100`, `100/s`, `5/m`, `1/h`.
struct PublishRate: Hashable, Sendable {
    let perSecond: Double

    /// - Throws: `usage`.
    init(_ text: String) throws(ApusError) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        let units = ["s": 1.0, "m": 60.0, "h": 3_600.0]
        guard let count = parts.first.flatMap({ Double($0) }), count > 0, count < 1e9,
            let seconds = parts.count == 1 ? 1.0 : units[String(parts[1])]
        else {
            throw ApusError(.usage, "\"\(text)\" is no rate", hint: "It is 100, 100/s, 5/m or 1/h.")
        }
        perSecond = count / seconds
    }
}

/// Says when the next message may go. Time is a parameter.
struct Pacer {
    private let interval: Double
    private let start: ContinuousClock.Instant
    private var count = 0

    init(_ rate: PublishRate, now: ContinuousClock.Instant) {
        interval = 1 / rate.perSecond
        start = now
    }

    mutating func sent(_ more: Int) { count += more }

    /// How many messages are due by now. A pause is not made up for by more than a tenth of a second's messages.
    mutating func due(now: ContinuousClock.Instant) -> Int {
        let elapsed = (now - start) / .seconds(1)
        let allowed = Int(elapsed / interval) + 1
        let burst = max(1, Int(0.1 / interval))
        if allowed - count > burst { count = allowed - burst }
        return max(0, allowed - count)
    }

    var nextDue: ContinuousClock.Instant { start + .seconds(Double(count) * interval) }
}
