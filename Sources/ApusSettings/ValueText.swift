internal import ApusModel
internal import Logging

/// How each kind of value is written: the same in the file, in the environment and behind a flag.
enum ValueText {
    /// - Throws: `usage`.
    static func boolean(_ text: String) throws(ApusError) -> Bool {
        switch text {
        case "true": return true
        case "false": return false
        default: throw ApusError(.usage, "is \"\(text.shown)\", it may be true or false")
        }
    }

    /// - Throws: `usage`, with what was meant.
    static func choice<T: RawRepresentable & CaseIterable>(_ text: String, _: T.Type) throws(ApusError) -> T
    where T.RawValue == String {
        if let value = T(rawValue: text) { return value }
        let names = T.allCases.map(\.rawValue)
        let near = Suggestion.nearest(to: text, among: names).map { "; did you mean \($0)?" } ?? ""
        throw ApusError(.usage, "is \"\(text.shown)\", it may be \(names.joined(separator: ", "))\(near)")
    }

    /// - Throws: `usage`.
    static func path(_ text: String) throws(ApusError) -> String {
        guard !text.isEmpty else { throw ApusError(.usage, "is empty, it is the name of a file") }
        guard !text.utf8.contains(0) else { throw ApusError(.usage, "there is a NUL in the name of the file") }
        return text
    }

    /// - Throws: `usage`, with the reason.
    static func topic(_ text: String) throws(ApusError) -> Topic {
        let topic = try Topic(text)
        guard !topic.isReserved else {
            throw ApusError(.usage, "clients cannot publish to \"\(text.shown)\": topics with $ are the broker's own")
        }
        return topic
    }

    /// - Throws: `usage`, with the range.
    static func number(_ text: String, unit: String, _ range: ClosedRange<Int>) throws(ApusError) -> Int {
        let number = try LimitText.parse(text, unit: unit)
        guard range.contains(number) else {
            throw ApusError(
                .usage, "is \(text.shown) (\(number) \(unit)), it may be \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }
}
