internal import ApusClient
internal import ApusModel

/// What became of the messages of a run, counted.
struct PublishTally {
    /// What a failure means for its message.
    enum Fate: String, CaseIterable {
        case refused
        /// Sent, and perhaps recorded.
        case unknown
        case unsent = "not sent"
    }

    private(set) var recorded = 0
    /// With level `none`: nobody says whether they were recorded.
    private(set) var sent = 0
    private(set) var firstError: ApusError?
    private var failures: [Fate: [ApusError.Code: Int]] = [:]

    var succeeded: Int { recorded + sent }
    var failed: Int { failures.values.reduce(0) { $0 + $1.values.reduce(0, +) } }

    mutating func add(_ results: [Result<Receipt, ApusError>]) {
        for result in results {
            switch result {
            case .success(let receipt) where receipt.level == .none: sent += 1
            case .success: recorded += 1
            case .failure(let error): add(error)
            }
        }
    }

    mutating func add(_ error: ApusError) {
        firstError = firstError ?? error
        failures[PublishTally.fate(error), default: [:]][error.code, default: 0] += 1
    }

    static func fate(_ error: ApusError) -> Fate {
        if error.isOutcomeUnknown { return .unknown }
        switch error.code {
        case .closed, .cancelled, .timedOut, .connectionLost, .unavailable, .goingAway, .keepAliveExpired:
            return .unsent
        default: return .refused
        }
    }

    /// `7 messages recorded, 3 refused (2 not-allowed, 1 message-too-large), 1 unknown (connection-lost)`
    var text: String {
        var parts: [String] = []
        if recorded > 0 || sent == 0 { parts.append("\(recorded) \(recorded == 1 ? "message" : "messages") recorded") }
        if sent > 0 { parts.append("\(sent) \(sent == 1 ? "message" : "messages") sent") }
        for fate in Fate.allCases {
            guard let codes = failures[fate] else { continue }
            let counts = codes.sorted { ($1.value, $0.key.rawValue) < ($0.value, $1.key.rawValue) }
            let reasons = counts.map { counts.count > 1 ? "\($0.value) \($0.key.rawValue)" : $0.key.rawValue }
            let count = counts.reduce(0) { $0 + $1.value }
            parts.append("\(count) \(fate.rawValue) (\(reasons.joined(separator: ", ")))")
        }
        return parts.joined(separator: ", ")
    }
}

extension PublishTally.Fate: CustomStringConvertible {
    var description: String { rawValue }
}
