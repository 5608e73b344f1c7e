package import ApusModel
package import NIOCore

/// What a door does for a query. Called on its event loop.
package protocol QueryOutlet: AnyObject {
    /// Its connection: what it asks of the log takes turns with what others ask.
    var id: ConnectionID { get }
    /// Whether the connection takes more rows: false stops the query until `QueryCursor.resume()`.
    var isWritable: Bool { get }
    /// Rows of a history query: the batch's messages from `range`.
    func rows(_ query: QueryCursor, _ batch: MessageBatch, _ range: Range<Int>)
    func row(_ query: QueryCursor, _ topic: TopicRow)
    func row(_ query: QueryCursor, _ status: LogStatus)
    /// The query is over: how many rows, and why (`complete`, `limit`).
    func ended(_ query: QueryCursor, count: UInt64, reason: String)
    func failed(_ query: QueryCursor, _ error: ApusError)
    func flush()
}

/// A query on its way: like a subscription it is a position that pulls, one short read at a time, while its connection
/// takes rows. Confined to its event loop; not Sendable.
package final class QueryCursor {
    package enum Selection: Sendable, Hashable {
        case history(HistorySelection)
        case topics(FilterSet)
        case status
    }

    /// What one read brought.
    private enum Page: Sendable {
        case bounds(LookUpStep<SeqRange, BoundsLookUp>)
        case messages(MessageBatch)
        case topics(LookUpStep<TopicPage, TopicsLookUp>)
        case status(LogStatus)
    }

    /// The client's number for it.
    package let number: UInt32
    package let selection: Selection
    private let log: any LogQueries
    private let workers: WorkerPool
    private let loop: any EventLoop
    private let pageBytesMax: Int
    private unowned let outlet: any QueryOutlet

    /// Rows that may still come in all; nil for no limit.
    private var remaining: UInt64?
    /// Rows that may be sent; nil for no limit but the socket's.
    private var credit: UInt64?
    private var sent: UInt64 = 0
    private var bounds: SeqRange?
    private var topicPage: (rows: ArraySlice<TopicRow>, next: Int64?) = ([], 0)
    /// Look-ups that take more than one step. Each step waits behind everybody else's.
    private var boundsLookUp: BoundsLookUp?
    private var topicsLookUp: TopicsLookUp?
    package private(set) var isReading = false
    /// Called when what was being read for it has come after it was cancelled.
    package var onIdle: (() -> Void)?
    private var isClosed = false

    package init(
        number: UInt32, selection: Selection, limit: UInt64?, credit: UInt64?, log: any LogQueries,
        workers: WorkerPool, loop: any EventLoop, limits: Limits, outlet: any QueryOutlet
    ) {
        self.number = number
        self.selection = selection
        self.remaining = limit
        self.credit = credit
        self.log = log
        self.workers = workers
        self.loop = loop
        self.pageBytesMax = limits.pageBytesMax
        self.outlet = outlet
    }

    package func add(credit more: UInt64) {
        if let credit { self.credit = credit.addingReportingOverflow(more).overflow ? .max : credit + more }
        resume()
    }

    /// Also to be called where the outlet is gone: nothing is sent afterwards.
    package func cancel() { isClosed = true }

    /// Ends it from outside.
    package func fail(_ error: ApusError) {
        guard !isClosed else { return }
        isClosed = true
        outlet.failed(self, error)
    }

    package func resume() {
        guard !isReading, !isClosed else { return }
        guard remaining != 0 else { return end("limit") }
        // The end is no row: it needs no credit.
        guard !hasGivenAll else { return end("complete") }
        guard outlet.isWritable, credit != 0 else { return }
        switch selection {
        case .history(let selection): readHistory(selection)
        case .topics(let filters): readTopics(filters)
        case .status:
            let log = log
            read { () throws(ApusError) in .status(try log.status()) }
        }
    }

    private var hasGivenAll: Bool {
        switch selection {
        case .history: bounds.map { $0.after >= $0.through } ?? false
        case .topics: topicPage.rows.isEmpty && topicPage.next == nil
        case .status: false
        }
    }

    private func readHistory(_ selection: HistorySelection) {
        let log = log
        guard let bounds else {
            let lookUp = boundsLookUp ?? BoundsLookUp(selection)
            return read { () throws(ApusError) in .bounds(try log.bounds(lookUp)) }
        }
        let request = HistoryRequest(
            selection: selection, after: bounds.after, through: bounds.through, bytesMax: pageBytesMax,
            countMax: rowsMax)
        read { () throws(ApusError) in .messages(try log.history(request)) }
    }

    private func readTopics(_ filters: FilterSet) {
        if !topicPage.rows.isEmpty { return sendTopics() }
        guard let next = topicPage.next else { return }
        let log = log
        let lookUp =
            topicsLookUp ?? TopicsLookUp(filters, afterID: next, countMax: rowsMax, bytesMax: pageBytesMax)
        read { () throws(ApusError) in .topics(try log.topics(lookUp)) }
    }

    private var rowsMax: Int { Int(clamping: min(1_000, credit ?? .max, remaining ?? .max)) }

    private func read(_ work: @escaping @Sendable () throws(ApusError) -> Page) {
        isReading = true
        let bound = NIOLoopBound(self, eventLoop: loop)
        let loop = loop
        workers.perform(for: outlet.id) {
            let result = Result<Page, ApusError>(catching: work)
            loop.execute { bound.value.received(result) }
        }
    }

    private func received(_ result: Result<Page, ApusError>) {
        isReading = false
        guard !isClosed else {
            onIdle?()
            return
        }
        switch result {
        case .failure(let error):
            isClosed = true
            outlet.failed(self, error)
        case .success(.bounds(.goOn(let next))): boundsLookUp = next
        case .success(.bounds(.answer(let range))): bounds = range
        case .success(.messages(let batch)): send(batch)
        case .success(.topics(.goOn(let next))): topicsLookUp = next
        case .success(.topics(.answer(let page))):
            topicsLookUp = nil
            topicPage = (page.rows[...], page.next)
            sendTopics()
        case .success(.status(let status)):
            outlet.row(self, status)
            count(1)
            end("complete")
        }
        resume()
        outlet.flush()
    }

    private func send(_ batch: MessageBatch) {
        let rows = min(batch.messages.count, rowsMax)
        outlet.rows(self, batch, 0..<rows)
        count(rows)
        bounds?.after = rows < batch.messages.count ? batch.messages[rows].seq - 1 : batch.through
    }

    private func sendTopics() {
        while let row = topicPage.rows.first, outlet.isWritable, rowsMax > 0 {
            outlet.row(self, row)
            topicPage.rows.removeFirst()
            count(1)
        }
        resume()
    }

    private func count(_ rows: Int) {
        sent += UInt64(rows)
        if let remaining { self.remaining = remaining - min(remaining, UInt64(rows)) }
        if let credit { self.credit = credit - min(credit, UInt64(rows)) }
    }

    private func end(_ reason: String) {
        guard !isClosed else { return }
        isClosed = true
        outlet.ended(self, count: sent, reason: reason)
    }
}
