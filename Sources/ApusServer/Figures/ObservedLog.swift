internal import ApusBroker
internal import ApusModel

/// The log's second port, as it is asked by the doors: `status` also brings the event loops' figures up to date.
///
/// Runs on the query threads, which may wait for an event loop; an event loop never waits for them.
final class ObservedLog: LogQueries {
    private let log: any LogQueries
    private let board: LoopBoard

    /// A loop that is so busy is not waited for: its figures are those of the last time.
    private static let patienceSeconds = 1.0

    init(_ log: any LogQueries, board: LoopBoard) {
        self.log = log
        self.board = board
    }

    func history(_ request: HistoryRequest) throws(ApusError) -> MessageBatch { try log.history(request) }

    func bounds(_ selection: HistorySelection) throws(ApusError) -> (after: Seq, through: Seq) {
        try log.bounds(selection)
    }

    func topics(_ filters: FilterSet, afterID: Int64, countMax: Int) throws(ApusError) -> TopicPage {
        try log.topics(filters, afterID: afterID, countMax: countMax)
    }

    func status() throws(ApusError) -> LogStatus {
        _ = board.gather(timeoutSeconds: ObservedLog.patienceSeconds)
        return try log.status()
    }
}
