// Part of ``ClientSession``.

/// Pauses between attempts to connect: they double from the shortest to the longest, and half of each is random, so
/// that clients that lost the same broker do not come back all at once.
struct Backoff {
    private let milliseconds: ClosedRange<Int>
    private var state: UInt64
    private(set) var attempt = 0

    init(milliseconds: ClosedRange<Int>, seed: UInt64) {
        self.milliseconds = milliseconds
        state = seed
    }

    mutating func next() -> Int {
        attempt += 1
        let first = max(1, milliseconds.lowerBound)
        let longest = max(first, milliseconds.upperBound)
        let doublings = min(attempt - 1, 40)
        let pause = first > longest >> doublings ? longest : first << doublings
        return pause / 2 + Int(random() % UInt64(pause - pause / 2 + 1))
    }

    mutating func reset() { attempt = 0 }

    /// SplitMix64 (Steele, Lea, Flood 2014).
    private mutating func random() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
