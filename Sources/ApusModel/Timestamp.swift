/// Times as people write them: RFC 3339, and durations such as `10m`.
public enum Timestamp {
    /// `2026-11-23T08:15:00.123456Z`: UTC, always with six digits of microseconds.
    public static func text(_ time: Microseconds) -> String {
        let (seconds, micros) = time.quotientAndRemainder(floor: 1_000_000)
        let (days, second) = seconds.quotientAndRemainder(floor: 86_400)
        let (year, month, day) = civil(daysSince1970: days)
        func padded(_ value: Int64, _ width: Int) -> String {
            let digits = String(value)
            return String(repeating: "0", count: max(0, width - digits.count)) + digits
        }
        return "\(padded(year, 4))-\(padded(month, 2))-\(padded(day, 2))T\(padded(second / 3_600, 2)):"
            + "\(padded(second / 60 % 60, 2)):\(padded(second % 60, 2)).\(padded(micros, 6))Z"
    }

    /// A date and time of RFC 3339, section 5.6; a space may stand for the `T`, the seconds may be left out, and the
    /// time too (midnight).
    ///
    /// - Parameter localOffset: seconds east of UTC for a text without an offset, given the time read as if it were
    ///   UTC; without it such a text is not a time.
    /// - Returns: nil where the text is not a time.
    public static func parse(_ text: String, localOffset: ((Microseconds) -> Int)? = nil) -> Microseconds? {
        var scanner = Scanner(text)
        guard let year = scanner.digits(4), scanner.skip("-"), let month = scanner.digits(2), scanner.skip("-"),
            let day = scanner.digits(2), (1...12).contains(month), day >= 1, day <= daysIn(month, of: year)
        else { return nil }
        var seconds = daysSince1970(year, month, day) * 86_400
        var micros: Int64 = 0
        if scanner.skip("T") || scanner.skip("t") || scanner.skip(" ") {
            guard let hour = scanner.digits(2), hour < 24, scanner.skip(":"), let minute = scanner.digits(2),
                minute < 60
            else { return nil }
            seconds += hour * 3_600 + minute * 60
            if scanner.skip(":") {
                guard let second = scanner.digits(2), second <= 60 else { return nil }
                seconds += second
                if scanner.skip(".") {
                    guard let fraction = scanner.fraction() else { return nil }
                    micros = fraction
                }
            }
        }
        let read = seconds * 1_000_000 + micros
        if scanner.isAtEnd { return localOffset.map { read - Int64($0(read)) * 1_000_000 } }
        guard let offset = scanner.offset(), scanner.isAtEnd else { return nil }
        return read - offset * 1_000_000
    }

    /// `500ms`, `10s`, `10m`, `2h`, `7d`, `1w`; a plain number is seconds.
    ///
    /// - Returns: microseconds; nil where the text is not a duration, is negative, or has more than 100 years.
    public static func parseDuration(_ text: String) -> Microseconds? {
        let units: [(String, Double)] = [
            ("ms", 1e3), ("s", 1e6), ("m", 60e6), ("h", 3_600e6), ("d", 86_400e6), ("w", 604_800e6),
        ]
        var number = text[...]
        var scale = 1e6
        if let unit = units.first(where: { text.hasSuffix($0.0) }) {
            number = text.dropLast(unit.0.count)
            scale = unit.1
        }
        guard number.allSatisfy({ $0.isASCII && ($0.isNumber || $0 == ".") }), let value = Double(number),
            value * scale <= 3.2e15
        else { return nil }
        return Microseconds((value * scale).rounded())
    }

    private struct Scanner {
        var rest: Substring.UTF8View

        init(_ text: String) { rest = text[...].utf8 }

        var isAtEnd: Bool { rest.isEmpty }

        mutating func skip(_ character: Character) -> Bool {
            guard let byte = rest.first, byte == character.asciiValue else { return false }
            rest.removeFirst()
            return true
        }

        mutating func digits(_ count: Int) -> Int64? {
            guard rest.count >= count else { return nil }
            var value: Int64 = 0
            for byte in rest.prefix(count) {
                guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { return nil }
                value = value * 10 + Int64(byte - UInt8(ascii: "0"))
            }
            rest = rest.dropFirst(count)
            return value
        }

        /// Digits after the point, as microseconds; what is finer is cut off.
        mutating func fraction() -> Int64? {
            var micros: Int64 = 0
            var count = 0
            while let digit = digits(1) {
                if count < 6 { micros = micros * 10 + digit }
                count += 1
            }
            guard count > 0 else { return nil }
            for _ in 0..<max(0, 6 - count) { micros *= 10 }
            return micros
        }

        /// `Z`, `+01:00` or `-0130`: seconds east of UTC.
        mutating func offset() -> Int64? {
            if skip("Z") || skip("z") { return 0 }
            let sign: Int64 = skip("-") ? -1 : 1
            guard sign == -1 || skip("+"), let hours = digits(2), hours < 24 else { return nil }
            _ = skip(":")
            guard let minutes = digits(2), minutes < 60 else { return nil }
            return sign * (hours * 3_600 + minutes * 60)
        }
    }

    // The two conversions follow Howard Hinnant, "chrono-compatible low-level date algorithms": years begin in March.

    private static func daysSince1970(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let y = month <= 2 ? year - 1 : year
        let era = y.quotientAndRemainder(floor: 400).0
        let yearOfEra = y - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    private static func civil(daysSince1970 days: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let z = days + 719_468
        let era = z.quotientAndRemainder(floor: 146_097).0
        let dayOfEra = z - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * monthFromMarch + 2) / 5 + 1)
    }

    private static func daysIn(_ month: Int64, of year: Int64) -> Int64 {
        switch month {
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }
}

extension Int64 {
    /// Division that rounds down, so that the remainder is never negative.
    fileprivate func quotientAndRemainder(floor divisor: Int64) -> (Int64, Int64) {
        let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
    }
}
