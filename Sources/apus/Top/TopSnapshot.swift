internal import ApusModel

/// What a broker's status said at one moment. A figure that is not there is nil: another version may have other ones.
struct TopSnapshot: Sendable {
    let status: JSON
    /// Of the clock that rates are measured by, in seconds.
    let seconds: Double

    /// - Throws: `malformed-header` where it is not JSON.
    init(_ text: String, seconds: Double) throws(ApusError) {
        self.init(try JSONParser.parse(text), seconds: seconds)
    }

    init(_ status: JSON, seconds: Double) {
        self.status = status
        self.seconds = seconds
    }

    func number(_ name: String) -> Double? { TopSnapshot.number(status[name]) }

    func text(_ name: String) -> String? {
        guard case .string(let text) = status[name] else { return nil }
        return text
    }

    /// Refusals by their code; nil where the broker does not count them.
    var errors: [(code: String, count: Double)]? {
        guard case .object(let members) = status["errors"] else { return nil }
        return members.compactMap { member in TopSnapshot.number(member.value).map { (member.name, $0) } }
    }

    /// Cursors that are worth a line each; nil where the broker lists none.
    var cursors: [JSON]? {
        for name in ["slowest-cursors", "cursors"] {
            if case .array(let items) = status[name] { return items }
        }
        return nil
    }

    static func number(_ value: JSON?) -> Double? {
        switch value {
        case .integer(let value): Double(value)
        case .number(let value): value
        default: nil
        }
    }
}

/// Two moments of one broker, and what has happened a second between them.
struct TopInterval: Sendable {
    /// Figures that only grow while the broker runs.
    static let counters = ["messages-in", "messages-out", "bytes-in", "bytes-out", "head", "commits"]

    let from: TopSnapshot?
    let to: TopSnapshot

    /// nil without a moment before, and across a restart of the broker: its figures began anew.
    var seconds: Double? {
        guard let from, from.text("started") == to.text("started"), from.text("log") == to.text("log"),
            to.seconds > from.seconds
        else { return nil }
        return to.seconds - from.seconds
    }

    func rate(_ name: String) -> Double? { rate(from?.number(name), to.number(name)) }

    func errorRate(_ code: String) -> Double? {
        // A code comes into the list with its first refusal.
        let before = from?.errors.map { errors in errors.first { $0.code == code }?.count ?? 0 }
        return rate(before, to.errors?.first { $0.code == code }?.count)
    }

    private func rate(_ before: Double?, _ now: Double?) -> Double? {
        guard let seconds, let before, let now, now >= before else { return nil }
        return (now - before) / seconds
    }

    /// `{"time":…,"seconds":…,"rates":{…},"status":…}`; a rate that is not known is null.
    func json(time: Microseconds) -> JSON {
        let rates = TopInterval.counters.map { JSON.Member($0, rate($0).map(JSON.number) ?? .null) }
        return .object([
            JSON.Member("time", .string(Timestamp.text(time))),
            JSON.Member("seconds", seconds.map(JSON.number) ?? .null),
            JSON.Member("rates", .object(rates)),
            JSON.Member("status", to.status),
        ])
    }
}
