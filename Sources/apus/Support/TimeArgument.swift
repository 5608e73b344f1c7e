internal import ApusModel
internal import Glibc

/// A point in time on the command line: RFC 3339 (local where it has no offset), or how long ago, as in `10m`.
enum TimeArgument: Hashable, Sendable {
    case time(Microseconds)
    case ago(Microseconds)

    static let hint =
        "A time is 2026-11-23T08:15:00 (local), …08:15:00Z or …+01:00; how long ago is 30s, 10m, 2h, 7d or 1w."

    /// - Throws: `usage`.
    init(_ text: String) throws(ApusError) {
        let isNumber = text.utf8.allSatisfy { ($0 >= 0x30 && $0 <= 0x39) || $0 == UInt8(ascii: ".") }
        if !isNumber, let ago = Timestamp.parseDuration(text) {
            self = .ago(ago)
        } else if let time = Timestamp.parse(text, localOffset: LocalTime.offset) {
            self = .time(time)
        } else {
            throw ApusError(.usage, "\"\(text)\" is neither a time nor how long ago", hint: TimeArgument.hint)
        }
    }

    func time(now: Microseconds) -> Microseconds {
        switch self {
        case .time(let time): time
        case .ago(let ago): now - ago
        }
    }
}

/// The machine's zone and clock.
enum LocalTime {
    /// Seconds east of UTC at a time that was read as if it were UTC.
    @Sendable
    static func offset(_ read: Microseconds) -> Int {
        var seconds = time_t(read / 1_000_000)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        parts.tm_isdst = -1
        let local = mktime(&parts)
        return Int(seconds - local)
    }

    static func now() -> Microseconds {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return Microseconds(now.tv_sec) * 1_000_000 + Microseconds(now.tv_nsec) / 1_000
    }
}

/// A length of time: `500ms`, `10s`, `10m`, `2h`, `7d`; a plain number is seconds.
enum DurationArgument {
    /// - Throws: `usage`.
    static func parse(_ text: String) throws(ApusError) -> Microseconds {
        guard let duration = Timestamp.parseDuration(text) else {
            throw ApusError(
                .usage, "\"\(text)\" is no length of time", hint: "It is 500ms, 10s, 10m, 2h, 7d; a number is seconds.")
        }
        return duration
    }
}
