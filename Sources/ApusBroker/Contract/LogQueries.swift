package import ApusModel

/// The second port to the log: what people ask it. Runs on reader threads of its own; every call is one short
/// read transaction with a bounded amount of work, so that no query pins the write-ahead log or holds up another one.
package protocol LogQueries: AnyObject, Sendable {
    /// The next page of a history query: rows behind `after`, in the order of their seqs.
    ///
    /// It may return no row and yet not be at the end: it stops after a bounded amount of scanning. The end is reached
    /// when `batch.through` is `request.through`.
    func history(_ request: HistoryRequest) throws(ApusError) -> MessageBatch

    /// The next step of looking up where a history query begins and ends.
    func bounds(_ lookUp: BoundsLookUp) throws(ApusError) -> LookUpStep<SeqRange, BoundsLookUp>

    /// The next step of a page of topics. A page may be empty and yet not be the last one.
    func topics(_ lookUp: TopicsLookUp) throws(ApusError) -> LookUpStep<TopicPage, TopicsLookUp>

    func status() throws(ApusError) -> LogStatus
}

/// What a history query selects: of the topics that its reader may see, what fulfils the conditions.
package struct HistorySelection: Hashable, Sendable {
    package var filters: FilterSet
    package var conditions: HistoryConditions

    package init(_ filters: FilterSet = .all, _ conditions: HistoryConditions = HistoryConditions()) {
        self.filters = filters
        self.conditions = conditions
    }
}

package struct HistoryRequest: Sendable {
    package var selection: HistorySelection
    package var after: Seq
    package var through: Seq
    package var bytesMax: Int
    package var countMax: Int

    package init(selection: HistorySelection, after: Seq, through: Seq, bytesMax: Int, countMax: Int) {
        self.selection = selection
        self.after = after
        self.through = through
        self.bytesMax = bytesMax
        self.countMax = countMax
    }
}

package struct TopicRow: Hashable, Sendable {
    package var topic: String
    package var messages: UInt64
    package var lastSeq: Seq

    package init(topic: String, messages: UInt64, lastSeq: Seq) {
        self.topic = topic
        self.messages = messages
        self.lastSeq = lastSeq
    }
}

package struct TopicPage: Sendable {
    package var rows: [TopicRow]
    /// The id to go on from; nil at the end.
    package var next: Int64?

    package init(rows: [TopicRow], next: Int64?) {
        self.rows = rows
        self.next = next
    }
}

/// What the writer of a log has seen since it was opened.
package struct WriterFigures: Hashable, Sendable {
    /// How many commits waited for another process that had locked the file, and how long all of them together.
    package var busyWaits = 0
    package var busyMicroseconds: Int64 = 0
    /// When the write-ahead log was last copied into the file, and how long that took; nil before the first time.
    package var checkpointedAt: Microseconds?
    package var checkpointMicroseconds: Int64 = 0
    /// Since when another process's reader keeps the write-ahead log from starting anew, beyond `wal-pause`; nil while
    /// none does.
    package var pinnedSince: Microseconds?
    /// The processes that read it then.
    package var pinnedBy: [Int] = []

    package init() {}
}

package struct LogStatus: Sendable {
    /// The log's random id.
    package var log: String
    package var head: Seq
    /// The oldest message's seq; 0 in an empty log.
    package var first: Seq
    package var topics: Int
    package var encodings: Int
    package var publishers: Int
    package var fileBytes: Int
    package var walBytes: Int
    /// Of the write-ahead log, what is not yet free to be written over.
    package var walUsedBytes: Int
    package var path: String
    package var sqliteVersion: String
    /// Of the file, that new messages will use before it grows.
    package var freeBytes = 0
    /// What the writer has seen; nothing where a file is read without its broker.
    package var writer = WriterFigures()

    package init(
        log: String, head: Seq, first: Seq, topics: Int, encodings: Int, publishers: Int, fileBytes: Int,
        walBytes: Int, walUsedBytes: Int = 0, path: String, sqliteVersion: String
    ) {
        self.log = log
        self.head = head
        self.first = first
        self.topics = topics
        self.encodings = encodings
        self.publishers = publishers
        self.fileBytes = fileBytes
        self.walBytes = walBytes
        self.walUsedBytes = walUsedBytes
        self.path = path
        self.sqliteVersion = sqliteVersion
    }
}
