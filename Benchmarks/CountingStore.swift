internal import ApusBroker
internal import ApusModel
internal import ApusStore
internal import NIOConcurrencyHelpers

/// The store, with its commits counted.
final class CountingStore: LogStore, LogQueries {
    private let store: Store
    private let counter = NIOLockedValueBox(0)

    init(_ store: Store) { self.store = store }

    var commits: Int { counter.withLockedValue { $0 } }
    var head: Seq { store.head }

    func append(_ items: [IntakeItem]) throws(ApusError) -> CommitOutcome {
        counter.withLockedValue { $0 += 1 }
        return try store.append(items)
    }

    func rest() throws(ApusError) -> Int64? { try store.rest() }
    func close() throws(ApusError) { try store.close() }
    func page(_ request: PageRequest) throws(ApusError) -> MessageBatch { try store.page(request) }
    func retained(_ request: PageRequest) throws(ApusError) -> MessageBatch { try store.retained(request) }
    func history(_ request: HistoryRequest) throws(ApusError) -> MessageBatch { try store.history(request) }
    func status() throws(ApusError) -> LogStatus { try store.status() }

    func start(_ lookUp: StartLookUp) throws(ApusError) -> LookUpStep<Seq, StartLookUp> { try store.start(lookUp) }

    func bounds(_ lookUp: BoundsLookUp) throws(ApusError) -> LookUpStep<SeqRange, BoundsLookUp> {
        try store.bounds(lookUp)
    }

    func topics(_ lookUp: TopicsLookUp) throws(ApusError) -> LookUpStep<TopicPage, TopicsLookUp> {
        try store.topics(lookUp)
    }
}
