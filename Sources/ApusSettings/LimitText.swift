package import ApusModel

/// How a limit is written, in the file, the environment and a flag: a number in its unit; sizes and counts also with
/// `K`, `M`, `G` or `T` behind (or `KiB` …: powers of 1,024), times also as `500ms`, `30s`, `10m`, `2h`, `7d`.
package enum LimitText {
    private static let millisecondsByUnit = ["milliseconds": 1, "seconds": 1_000, "days": 86_400_000]

    /// - Throws: `usage`, saying how it is written.
    package static func parse(_ text: String, unit: String) throws(ApusError) -> Int {
        if let number = text.decimal { return number }
        if let milliseconds = millisecondsByUnit[unit] { return try time(text, unit: unit, milliseconds) }
        guard let size = size(text) else {
            let ways = unit == "bytes" ? "4096, 64K, 8M or 1G" : "a whole number"
            throw ApusError(.usage, "\"\(text.shown)\" is not a number of \(unit): write \(ways)")
        }
        return size
    }

    private static func size(_ text: String) -> Int? {
        var digits = text[...]
        if digits.hasSuffix("iB") { digits = digits.dropLast(2) }
        let powers: [Character: Int] = ["K": 10, "M": 20, "G": 30, "T": 40]
        guard let unit = digits.last, let power = powers[unit], let value = digits.dropLast().decimal else {
            return nil
        }
        let (product, overflow) = value.multipliedReportingOverflow(by: 1 << power)
        return overflow ? nil : product
    }

    private static func time(_ text: String, unit: String, _ unitMilliseconds: Int) throws(ApusError) -> Int {
        guard let microseconds = Timestamp.parseDuration(text) else {
            throw ApusError(
                .usage, "\"\(text.shown)\" is no length of time: write 500ms, 30s, 10m, 2h, 7d, or \(unit)")
        }
        let (quotient, remainder) = microseconds.quotientAndRemainder(dividingBy: Int64(unitMilliseconds) * 1_000)
        guard remainder == 0 else {
            throw ApusError(.usage, "\"\(text.shown)\" is not a whole number of \(unit)")
        }
        return Int(quotient)
    }
}
