// Station 5, group commit. Runs on: the one writer thread. In: what has queued up in the intake. Out: one committed
// batch and the answers. Bounded by: batch bytes and rows, which the broker keeps.

internal import ApusBroker
internal import ApusModel
internal import GRDB
internal import GRDBSQLite
internal import Logging

/// The one connection that writes and checkpoints, and what has to be remembered between its commits.
///
/// `@unchecked Sendable`: everything is touched only inside `confined`, which runs on GRDB's serial queue.
final class LogWriter: @unchecked Sendable {
    let file: LogFile
    let limits: Limits
    let logger: Logger
    let clock: @Sendable () -> Microseconds
    let monotonic: @Sendable () -> Microseconds
    let shared: SharedState
    let logID: String

    let queue: DatabaseQueue
    let connection: OpaquePointer
    /// nil after closing: SQLite closes only a connection without statements.
    var statementsOrNil: WriterStatements?

    /// What is committed.
    var state: LogState
    var topicNames: NameCache<Topic, NameEntry>
    var encodingNames: NameCache<Encoding, NameEntry>
    var openedPublishers: [Int64: OpenedPublisher] = [:]
    var postings = OpenPostings()
    /// Slots of the submission at hand: where its topics and encodings stand in the batch. Kept for their storage.
    var topicSlots: [UInt32] = []
    var encodingSlots: [UInt32] = []

    var lastEpoch: UInt64 = 0
    var lastStamp: UInt64 = 0
    var dataVersion: Int64 = 0
    /// SQLite's `synchronous` as it is set now.
    var isFull = true
    /// When the oldest commit came that no fsync covers yet, on the monotonic clock.
    var unsyncedSince: Microseconds?
    /// Whether the last call was an append: then a `rest` is not idle.
    var hasJustAppended = false
    var publishersCheckedAt: Microseconds
    let wal: WALWatch
    let busy: BusyWatch
    /// Of the last transaction; nil where it did not reach the disk.
    var syncNanoseconds: Int64?
    /// What the paths stood for at opening.
    let fileIdentity: FileIdentity
    let walIdentity: FileIdentity

    init(_ opened: OpenedWriter) {
        file = opened.file
        limits = opened.limits
        logger = opened.logger
        clock = opened.clock
        monotonic = opened.monotonic
        logID = opened.logID
        queue = opened.queue
        connection = opened.connection
        statementsOrNil = opened.statements
        state = opened.state
        wal = opened.wal
        fileIdentity = opened.fileIdentity
        walIdentity = opened.walIdentity
        shared = SharedState(head: opened.state.head, trimmedThrough: opened.state.trimmedThrough)
        topicNames = NameCache(topics: opened.limits)
        encodingNames = NameCache(encodings: opened.limits)
        publishersCheckedAt = opened.monotonic()
        busy = BusyWatch(timeoutSeconds: opened.limits.busyTimeoutSeconds, shared: shared)
    }

    /// Runs `body` on the connection's queue, which on Linux is the calling thread.
    func confined<T>(_ body: () throws(ApusError) -> T) throws(ApusError) -> T {
        let result: Result<T, ApusError> = queue.writeWithoutTransaction { _ in
            Result { () throws(ApusError) in
                try shared.check()
                return try body()
            }
        }
        return try result.get()
    }

    /// Only called inside `confined`, which refuses a closed store.
    var statements: WriterStatements {
        get throws(SQLiteFailure) {
            guard let statementsOrNil else {
                throw SQLiteFailure(code: SQLITE_MISUSE, message: "the log is closed", doing: "writing")
            }
            return statementsOrNil
        }
    }

    /// Notes that the file cannot be trusted any more.
    func fail(_ error: ApusError) -> ApusError {
        shared.fail(error)
        logger.critical("the log failed", metadata: ["error": "\(error)"])
        return error
    }
}
