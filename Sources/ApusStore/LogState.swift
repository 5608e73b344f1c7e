internal import ApusBroker
internal import ApusModel

/// What the writer keeps in memory of what is committed. A batch works on a copy, which replaces this one after COMMIT
/// returned OK and is dropped otherwise: memory must never be ahead of the file.
struct LogState {
    /// Everything up to here is spoken for: a message, or a hole for good.
    var head: Seq
    /// In the file: no seq up to here is handed out again after a stop.
    var reservedThrough: Seq
    var sealedThrough: Seq
    var trimmedThrough: Seq
    /// The newest message's time: the next one's is no less, whatever the wall clock does.
    var lastTime: Microseconds
    var topics: Int
    var encodings: Int
    var publishers: Int

    /// Whether the numbers can come from a log: whoever writes to the file may leave anything in it, and sums of such
    /// numbers must not overflow.
    var isPossible: Bool { max(head, reservedThrough, sealedThrough, trimmedThrough) < Seq.last / 2 }

    /// A number of rows as the file has it, likewise.
    static func count(_ value: Int64) -> Int { Int(min(max(value, 0), 1 << 40)) }

    /// Seqs are reserved so many at a time, in a commit that reaches the disk anyway; an unclean stop leaves a hole of
    /// at most so many.
    static let seqsReserved: Seq = 65_536
}

/// A topic or an encoding that the file has. A class, so that a batch can note in it where it stands in the batch.
final class NameEntry {
    let id: Int64
    /// The batch in which `index` holds.
    var stamp: UInt64 = 0
    var index: UInt32 = 0

    init(id: Int64) { self.id = id }
}

/// A publisher's name that was opened since the start.
struct OpenedPublisher {
    let name: String
    /// The handle that may publish. Counts over all names, so that none is ever valid twice.
    var epoch: UInt64
    var lastID: UInt64
    /// Of the ids up to it those that were refused for good.
    var refused = RefusedIDs()
    /// A refusal that may pass later: what is queued behind it is refused too, for the same reason, so that the recorded
    /// ids stay a prefix of the sent ones and "up to last-id" stays true. Ends when the name is opened again.
    var refusal: ApusError?
}
