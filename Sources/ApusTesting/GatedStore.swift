package import ApusBroker
package import ApusModel

/// A store whose commits wait until a test lets them go: what piles up in front of it can be looked at.
package final class GatedStore: LogStore, LogQueries {
    private struct Gate {
        var isOpen = false
        /// Commits that may go although the gate is closed.
        var permits = 0
        var waiting = 0
    }

    package let inner: MemoryStore
    private let gate = Watched(Gate())

    package init(_ inner: MemoryStore = MemoryStore()) { self.inner = inner }

    package func open() { gate.change { $0.isOpen = true } }
    /// Lets one commit go.
    package func letOneGo() { gate.change { $0.permits += 1 } }
    /// Returns when a commit stands before the gate.
    package func waitForCommit() throws { try gate.wait("a commit at the gate") { $0.waiting > 0 } }

    package func append(_ items: [IntakeItem]) throws(ApusError) -> CommitOutcome {
        gate.change { $0.waiting += 1 }
        do {
            try gate.wait("the gate to open") { $0.isOpen || $0.permits > 0 }
        } catch {
            throw ApusError(.internalError, "\(error)")
        }
        gate.change {
            $0.waiting -= 1
            if !$0.isOpen { $0.permits -= 1 }
        }
        return try inner.append(items)
    }

    package var head: Seq { inner.head }
    package func rest() throws(ApusError) -> Int64? { try inner.rest() }
    package func close() throws(ApusError) { try inner.close() }
    package func page(_ request: PageRequest) throws(ApusError) -> MessageBatch { try inner.page(request) }
    package func retained(_ request: PageRequest) throws(ApusError) -> MessageBatch { try inner.retained(request) }
    package func start(_ lookUp: StartLookUp) throws(ApusError) -> LookUpStep<Seq, StartLookUp> {
        try inner.start(lookUp)
    }
    package func bounds(_ lookUp: BoundsLookUp) throws(ApusError) -> LookUpStep<SeqRange, BoundsLookUp> {
        try inner.bounds(lookUp)
    }
    package func history(_ request: HistoryRequest) throws(ApusError) -> MessageBatch { try inner.history(request) }
    package func topics(_ lookUp: TopicsLookUp) throws(ApusError) -> LookUpStep<TopicPage, TopicsLookUp> {
        try inner.topics(lookUp)
    }
    package func status() throws(ApusError) -> LogStatus { try inner.status() }
}
