internal import NIOCore

/// Who failed to log in, and how long the next attempt has to wait: a quarter of a second after the first failure,
/// twice as long after each further one, up to `login-delay`. Bounded by `login-records`; time is a parameter.
struct FailedLogins: Sendable {
    /// An attacker who guesses one name's password does not delay its owner on another machine.
    struct Key: Hashable, Sendable {
        var address: String
        var user: String
    }

    enum Verdict: Equatable {
        /// Zero for at once.
        case begin(after: TimeAmount)
        /// So many wait for this key that one more is refused.
        case tooMany
    }

    private struct Record {
        var failures = 0
        /// When the next attempt may begin.
        var next: NIODeadline
        var last: NIODeadline
        var waiting = 0
    }

    private static let firstDelay = TimeAmount.milliseconds(250)
    private static let waitingMax = 4
    /// A record is forgotten so long after its last failure.
    private static let memory = TimeAmount.minutes(15)

    private var records: [Key: Record] = [:]
    private let recordsMax: Int
    private let delayMax: TimeAmount

    init(recordsMax: Int, delayMax: TimeAmount) {
        self.recordsMax = recordsMax
        self.delayMax = delayMax
    }

    var count: Int { records.count }

    /// Attempts at the same time are spread out, so that it does not help to make many.
    mutating func attempt(_ key: Key, now: NIODeadline) -> Verdict {
        guard var record = records[key] else { return .begin(after: .zero) }
        guard record.last + FailedLogins.memory > now else {
            records[key] = nil
            return .begin(after: .zero)
        }
        guard record.waiting < FailedLogins.waitingMax else { return .tooMany }
        let start = max(now, record.next)
        record.next = start + delay(record.failures)
        record.waiting += 1
        records[key] = record
        return .begin(after: start - now)
    }

    /// Whether an attempt is counted by ``attempt(_:now:)``.
    func knows(_ key: Key) -> Bool { records[key] != nil }

    /// Whether an attempt that would begin now has to wait.
    func delays(_ key: Key, now: NIODeadline) -> Bool {
        guard let record = records[key], record.last + FailedLogins.memory > now else { return false }
        return record.next > now
    }

    mutating func succeeded(_ key: Key) { records[key] = nil }

    mutating func failed(_ key: Key, now: NIODeadline) {
        var record = records[key] ?? Record(next: now, last: now)
        record.failures += 1
        record.waiting = max(0, record.waiting - 1)
        record.last = now
        record.next = max(record.next, now + delay(record.failures))
        if records[key] == nil, records.count >= recordsMax { forgetOldest() }
        records[key] = record
    }

    /// It was neither right nor wrong: there was no room to look at it.
    mutating func gaveUp(_ key: Key) {
        guard let waiting = records[key]?.waiting, waiting > 0 else { return }
        records[key]?.waiting = waiting - 1
    }

    private func delay(_ failures: Int) -> TimeAmount {
        let doublings = min(max(0, failures - 1), 20)
        return min(delayMax, .nanoseconds(FailedLogins.firstDelay.nanoseconds << Int64(doublings)))
    }

    /// A walk over the table, which a password costs a thousand times over.
    private mutating func forgetOldest() {
        guard let oldest = records.min(by: { $0.value.last < $1.value.last }) else { return }
        records[oldest.key] = nil
    }
}
