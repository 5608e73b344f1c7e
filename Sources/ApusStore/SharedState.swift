internal import ApusBroker
internal import ApusModel
internal import NIOConcurrencyHelpers
internal import Synchronization

/// What the writer and the readers of one log share.
final class SharedState: Sendable {
    private let headValue: Synchronization.Atomic<Seq>
    private let trimmedValue: Synchronization.Atomic<Seq>
    private let walBytesValue = Synchronization.Atomic<Int>(0)
    private let namesVersionValue = Synchronization.Atomic<Int>(0)
    private let failureBox = NIOLockedValueBox<ApusError?>(nil)
    /// Changed rarely: never once a commit.
    private let figuresBox = NIOLockedValueBox(WriterFigures())
    let gate = ReaderGate()

    init(head: Seq, trimmedThrough: Seq) {
        headValue = Synchronization.Atomic(head)
        trimmedValue = Synchronization.Atomic(trimmedThrough)
    }

    /// The newest seq that is committed, checked and announced to be read.
    var head: Seq {
        get { headValue.load(ordering: .acquiring) }
        set { headValue.store(newValue, ordering: .releasing) }
    }

    var trimmedThrough: Seq {
        get { trimmedValue.load(ordering: .acquiring) }
        set { trimmedValue.store(newValue, ordering: .releasing) }
    }

    /// What of the write-ahead log is in use.
    var walBytes: Int {
        get { walBytesValue.load(ordering: .relaxed) }
        set { walBytesValue.store(newValue, ordering: .relaxed) }
    }

    var figures: WriterFigures { figuresBox.withLockedValue { $0 } }
    func changeFigures(_ change: (inout WriterFigures) -> Void) { figuresBox.withLockedValue { change(&$0) } }

    /// Raised when another process has written: what readers remember of names may be wrong.
    var namesVersion: Int { namesVersionValue.load(ordering: .acquiring) }
    func forgetNames() { namesVersionValue.add(1, ordering: .acquiringAndReleasing) }

    /// Set once the file cannot be trusted, or is closed: the store refuses everything from then on.
    func fail(_ error: ApusError) {
        failureBox.withLockedValue { $0 = $0 ?? error }
    }

    func check() throws(ApusError) {
        if let error = failureBox.withLockedValue({ $0 }) { throw error }
    }

    var hasFailed: Bool { failureBox.withLockedValue { $0 != nil } }
}
