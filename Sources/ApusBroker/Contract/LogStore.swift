package import ApusModel

/// The port to the log: what the broker asks of whatever keeps the messages. Every method takes or returns a batch.
///
/// The store hands out seqs, the broker never counts. `append`, `rest` and `close` are called on the one writer thread;
/// `page`, `start` and `retained` on reader threads, several at once; each is one short read transaction with a bounded
/// amount of work, however long the log is.
package protocol LogStore: AnyObject, Sendable {
    /// The newest seq that is committed; 0 in an empty log.
    var head: Seq { get }

    /// Records everything in `items` in one commit, at the highest level that an item asks for, and answers each.
    ///
    /// Returns normally also where items were refused (`storage-full`, `log-busy`, limits): the outcome says so.
    /// - Throws: where the outcome of the commit is unknown or the file cannot be trusted any more: nothing may be
    ///   acknowledged, and the broker stops.
    func append(_ items: [IntakeItem]) throws(ApusError) -> CommitOutcome

    /// What is due between commits: checkpoints, sealing of posting lists, the delayed sync.
    ///
    /// - Returns: when it wants to be called again at the latest if nothing is appended before, in microseconds from
    ///   now; nil if nothing is due. It does a slice of work at a time, so that no ack waits for it.
    func rest() throws(ApusError) -> Int64?

    /// The messages that match, from `request.after` on: at least one if there is one, at most the bounds.
    func page(_ request: PageRequest) throws(ApusError) -> MessageBatch

    /// The next step of looking up where a subscription begins.
    func start(_ lookUp: StartLookUp) throws(ApusError) -> LookUpStep<Seq, StartLookUp>

    /// Like ``page(_:)``, but only of messages that are the retained one of their topic.
    func retained(_ request: PageRequest) throws(ApusError) -> MessageBatch

    /// Checkpoints and closes. Nothing may be called afterwards.
    func close() throws(ApusError)
}

/// What goes through the intake to the writer thread.
package enum IntakeItem: Sendable {
    case publish(Submission)
    case openPublisher(OpenPublisher)
}

/// A connection asks to publish under a name, with deduplication. Fences whoever had the name before.
package struct OpenPublisher: Sendable {
    package let connection: ConnectionID
    package let user: String
    package let name: String

    package init(connection: ConnectionID, user: String, name: String) {
        self.connection = connection
        self.user = user
        self.name = name
    }
}

/// What became of a batch of items.
package struct CommitOutcome: Sendable {
    /// The messages recorded, in the order of their seqs; nil where none was.
    package var batch: MessageBatch?
    /// Parallel to the items.
    package var answers: [ItemAnswer]
    /// How long the commit took that reached the disk: writing and its fsync. nil where there was none.
    package var syncNanoseconds: Int64?

    package init(batch: MessageBatch?, answers: [ItemAnswer], syncNanoseconds: Int64? = nil) {
        self.batch = batch
        self.answers = answers
        self.syncNanoseconds = syncNanoseconds
    }
}

package enum ItemAnswer: Sendable {
    /// For `publish`: everything that is owed to the publisher, in the order of its messages.
    case publish([PublishAnswer])
    /// For `openPublisher`: the handle, and the last id recorded under the name (0: none).
    case opened(PublisherHandle, lastID: UInt64)
    /// The whole item was refused.
    case refused(ApusError)
}

package enum PublishAnswer: Sendable, Hashable {
    case published(PublishedRun)
    /// One message was refused; `id` is nil where it had none.
    case refused(id: UInt64?, ApusError)
}

/// What a cursor wants to read.
package struct PageRequest: Hashable, Sendable {
    package var filters: FilterSet
    /// Messages behind this seq.
    package var after: Seq
    /// Up to and including this seq, which is committed.
    package var through: Seq
    /// Bounds; one message may go over `bytesMax`, so that a page is never empty because of it.
    package var bytesMax: Int
    package var countMax: Int

    package init(filters: FilterSet, after: Seq, through: Seq, bytesMax: Int, countMax: Int) {
        self.filters = filters
        self.after = after
        self.through = through
        self.bytesMax = bytesMax
        self.countMax = countMax
    }
}
