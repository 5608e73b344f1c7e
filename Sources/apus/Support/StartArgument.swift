internal import ApusModel
internal import ArgumentParser

/// Where a subscription begins, as `--from`, `--since` and `--last` say it.
enum StartArgument {
    /// - Parameter text: `now`, `start`, `last-per-topic`, a seq, a time, or how long ago.
    /// - Throws: `usage`.
    static func parse(_ text: String) throws(ApusError) -> StartPosition {
        switch text {
        case "now": return .now
        case "start": return .start
        case "last-per-topic": return .lastPerTopic
        default: break
        }
        if Seq(text) != nil { return .seq(try SeqArgument.parse(text)) }
        guard let time = try? TimeArgument(text) else {
            throw ApusError(
                .usage, "\"\(text)\" is no place to start from",
                hint: "It is now, start, last-per-topic, a seq, or a time. \(TimeArgument.hint)")
        }
        return start(time)
    }

    private static func start(_ time: TimeArgument) -> StartPosition {
        switch time {
        case .time(let time): .time(time)
        case .ago(let ago): .ago(ago)
        }
    }

    /// - Throws: `usage` where more than one is given.
    static func position(from: StartPosition?, since: TimeArgument?, last: Int?) throws(ApusError) -> StartPosition {
        let given = [from, since.map(start), last.map { .last($0) }].compactMap { $0 }
        guard given.count <= 1 else {
            throw ApusError(.usage, "--from, --since and --last all say where to start", hint: "Give one of them.")
        }
        return given.first ?? .now
    }
}

/// A message's number.
enum SeqArgument {
    /// - Throws: `usage`.
    @Sendable
    static func parse(_ text: String) throws(ApusError) -> Seq {
        guard let seq = Seq(text), seq <= Seq.last else {
            throw ApusError(.usage, "\"\(text)\" is no seq", hint: "It is a whole number up to \(Seq.last).")
        }
        return seq
    }
}

extension ApusError {
    /// For ArgumentParser: its message, then what to do.
    var validation: ValidationError {
        ValidationError(hint.map { "\(message)\n  \($0)" } ?? message)
    }
}

/// Runs `parse` and hands its error to ArgumentParser, which then exits with `usage`.
func parsing<T>(_ parse: @escaping @Sendable (String) throws(ApusError) -> T) -> @Sendable (String) throws -> T {
    { text in
        do throws(ApusError) {
            return try parse(text)
        } catch {
            throw error.validation
        }
    }
}
