internal import ApusBroker
internal import ApusModel
internal import GRDBSQLite

/// The SQL function `wanted(topic)` of one reader: whether a topic's id matches the filters at hand.
///
/// Each distinct topic is matched once; ids never change their names. Not Sendable: it runs inside the reader's steps.
final class TopicMatcher {
    private var filters = FilterSet.all
    private var answers: [Int64: Bool] = [:]
    private var lastID: Int64 = 0
    private var lastAnswer = false
    /// The reader's look-up; throws where the file has no such topic.
    var topic: (Int64) throws -> Topic = { _ in throw ApusError(.internalError, "no reader") }

    /// Answers kept at most: a wide filter over a million topics would fill memory.
    private static let answersMax = 65_536

    func install(on connection: OpaquePointer) throws(SQLiteFailure) {
        // The matcher outlives the connection: both belong to the reader, which closes the connection first.
        let code = sqlite3_create_function_v2(
            connection, "wanted", 1, SQLITE_UTF8 | SQLITE_DIRECTONLY, Unmanaged.passUnretained(self).toOpaque(),
            { context, _, arguments in
                guard let matcher = sqlite3_user_data(context), let argument = arguments?[0] else { return }
                let id = sqlite3_value_int64(argument)
                let isWanted = Unmanaged<TopicMatcher>.fromOpaque(matcher).takeUnretainedValue().matches(id)
                sqlite3_result_int(context, isWanted ? 1 : 0)
            }, nil, nil, nil)
        guard code == SQLITE_OK else { throw SQLiteFailure(code: code, on: connection, doing: "preparing a reader") }
    }

    func use(_ filters: FilterSet) {
        guard filters != self.filters else { return }
        self.filters = filters
        forget()
    }

    func forget() {
        answers.removeAll(keepingCapacity: true)
        lastID = 0
        lastAnswer = false
    }

    func matches(_ id: Int64) -> Bool {
        if id == lastID { return lastAnswer }
        lastID = id
        lastAnswer = answer(id)
        return lastAnswer
    }

    private func answer(_ id: Int64) -> Bool {
        if filters.isEverything { return true }
        if let known = answers[id] { return known }
        // A topic that cannot be read is wanted: reading the row then says what is damaged.
        guard let name = try? topic(id) else { return true }
        if answers.count >= TopicMatcher.answersMax { answers.removeAll(keepingCapacity: true) }
        let isWanted = filters.matches(name)
        answers[id] = isWanted
        return isWanted
    }
}
