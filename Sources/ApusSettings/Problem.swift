package import ApusModel

/// What is wrong with one value, and where it stands.
package struct Problem: Hashable, Sendable, CustomStringConvertible {
    package let origin: Origin
    /// The option; empty where the fault belongs to none.
    package let key: String
    package let message: String
    /// `usage`; `not-allowed` where a listener lacks authentication; `not-supported`.
    package let code: ApusError.Code

    package init(_ origin: Origin, _ key: String, _ message: String, code: ApusError.Code = .usage) {
        self.code = code
        self.origin = origin
        self.key = key
        self.message = message
    }

    /// `apus.yaml:12: limits.max-connections: …`, `environment variable APUS_DB: …`, `flag --listen: …`.
    package var description: String {
        let place =
            switch origin {
            case .standard: key
            // A variable or a flag says which option it is.
            case .environment, .flag: origin.description
            case .file: key.isEmpty ? origin.description : "\(origin): \(key)"
            }
        return place.isEmpty ? message : "\(place): \(message)"
    }
}

/// Everything that is wrong with a configuration.
package struct SettingsFailure: Error, Sendable {
    package let problems: [Problem]
    /// How many more there are than ``problems`` holds.
    package let furtherProblems: Int
    /// As for settings that could be loaded: a variable that is not read may be the reason.
    package let warnings: [String]

    package init(_ problems: [Problem], furtherProblems: Int = 0, warnings: [String] = []) {
        self.problems = problems
        self.warnings = warnings
        self.furtherProblems = furtherProblems
    }

    /// Of all problems, where they have the same; else `usage`.
    package var code: ApusError.Code {
        guard let first = problems.first, problems.allSatisfy({ $0.code == first.code }) else { return .usage }
        return first.code
    }

    /// A line each.
    package var lines: [String] {
        problems.map(\.description) + (furtherProblems > 0 ? ["and \(furtherProblems) more"] : [])
    }

    /// Over all lines.
    package var title: String {
        let count = problems.count + furtherProblems
        return count == 1 ? "the configuration cannot be used" : "the configuration has \(count) faults"
    }
}

/// Collects what is wrong, as far as anybody would read it.
struct ProblemList {
    /// A file that is no configuration at all has one for each of its lines.
    private static let problemsMax = 100

    private(set) var problems: [Problem] = []
    private(set) var further = 0

    var isEmpty: Bool { problems.isEmpty }

    /// - Parameter message: made only where it is kept; finding what was meant takes time.
    mutating func add(
        _ origin: Origin, _ key: String, _ message: @autoclosure () -> String, code: ApusError.Code = .usage
    ) {
        guard problems.count < ProblemList.problemsMax else {
            further += 1
            return
        }
        let problem = Problem(origin, key, message(), code: code)
        // The same list, by two aliases.
        if !problems.contains(problem) { problems.append(problem) }
    }

    mutating func add(_ origin: Origin, _ key: String, _ error: ApusError) {
        add(origin, key, error.messageAndHint)
    }

    /// - Throws: ``SettingsFailure``, in the order of the file, where there is anything.
    func check(warnings: [String]) throws(SettingsFailure) {
        guard !isEmpty else { return }
        let sorted = problems.enumerated().sorted { (line($0.element), $0.offset) < (line($1.element), $1.offset) }
        throw SettingsFailure(sorted.map(\.element), furtherProblems: further, warnings: warnings)
    }

    private func line(_ problem: Problem) -> Int {
        if case .file(_, let line) = problem.origin { line } else { Int.max }
    }
}
