package import ApusModel

/// Which ids of a named publisher were refused for good, and with which code: who sends one of them again, because the
/// connection broke before the answer came, is told so, and not that it was recorded.
///
/// The newest ``runsMax`` runs of consecutive ids are known. Ascending.
package struct RefusedIDs: Hashable, Sendable {
    private struct Run: Hashable, Sendable {
        let first: UInt64
        var last: UInt64
        let code: ApusError.Code
    }

    package static let runsMax = 256

    private var runs: [Run] = []

    package init() {}

    package var isEmpty: Bool { runs.isEmpty }

    /// - Parameter id: greater than those that are known; one that is not is left out.
    package mutating func add(_ id: UInt64, _ code: ApusError.Code) { add(Run(first: id, last: id, code: code)) }

    /// Adds those of `other` that are greater than what is known and than `lastID`.
    package mutating func add(_ other: RefusedIDs, behind lastID: UInt64) {
        for run in other.runs where run.last > lastID {
            add(Run(first: max(run.first, lastID &+ 1), last: run.last, code: run.code))
        }
    }

    /// These and others, none of which is known, in order.
    package func with(_ others: [(id: UInt64, code: ApusError.Code)]) -> RefusedIDs {
        guard !others.isEmpty else { return self }
        var all = RefusedIDs()
        let singles = others.map { Run(first: $0.id, last: $0.id, code: $0.code) }
        for run in (runs + singles).sorted(by: { $0.first < $1.first }) { all.add(run) }
        return all
    }

    private mutating func add(_ run: Run) {
        if let last = runs.last {
            guard run.first > last.last else { return }
            if last.code == run.code, last.last + 1 == run.first {
                runs[runs.count - 1].last = run.last
                return
            }
        }
        runs.append(run)
        if runs.count > RefusedIDs.runsMax { runs.removeFirst(runs.count - RefusedIDs.runsMax) }
    }

    package func code(of id: UInt64) -> ApusError.Code? {
        runs.last { $0.first <= id }.flatMap { id <= $0.last ? $0.code : nil }
    }

    /// The answer to an id that is known as refused.
    package func error(of id: UInt64) -> ApusError? {
        code(of: id).map {
            ApusError(
                $0, "the publish was refused before, and its id is used up",
                hint: "The refusal lasts. What it said stands in the publisher's own log, if its answer was read.")
        }
    }

    // MARK: In the file

    /// `5-7:not-allowed 9-9:too-many`
    package var text: String {
        runs.map { "\($0.first)-\($0.last):\($0.code.rawValue)" }.joined(separator: " ")
    }

    /// What cannot be read is left out.
    package init(text: String) {
        for word in text.split(separator: " ") {
            let parts = word.split(separator: ":", maxSplits: 1)
            let ids = parts[0].split(separator: "-").compactMap { UInt64($0) }
            guard parts.count == 2, ids.count == 2, ids[0] <= ids[1], ids[1] <= UInt64(Int64.max),
                let code = ApusError.Code(rawValue: String(parts[1]))
            else { continue }
            add(Run(first: ids[0], last: ids[1], code: code))
        }
    }
}
