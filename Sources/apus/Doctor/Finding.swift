internal import ApusModel

/// What one check of `apus doctor` found.
struct Finding: Hashable, Sendable {
    enum State: String, Sendable {
        case ok, warning, problem
    }

    /// A stable word.
    let check: String
    let state: State
    /// What is there.
    let found: String
    /// What to do about it; nil where nothing has to be done.
    let advice: String?

    static func ok(_ check: String, _ found: String) -> Finding {
        Finding(check: check, state: .ok, found: found, advice: nil)
    }

    static func warning(_ check: String, _ found: String, _ advice: String) -> Finding {
        Finding(check: check, state: .warning, found: found, advice: advice)
    }

    static func problem(_ check: String, _ found: String, _ advice: String) -> Finding {
        Finding(check: check, state: .problem, found: found, advice: advice)
    }

    var json: JSON {
        .object([
            JSON.Member("check", .string(check)), JSON.Member("state", .string(state.rawValue)),
            JSON.Member("found", .string(found)), JSON.Member("advice", advice.map(JSON.string) ?? .null),
        ])
    }
}
