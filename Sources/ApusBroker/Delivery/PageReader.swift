// Part of station 7, cursors. Runs on reader threads. In: page requests of cursors that are behind the tail, and steps
// of look-ups, at most one a cursor; connections take turns. Out: pages. Bounded by `page-bytes` and `pages-bytes`.

package import ApusModel
internal import DequeModule
internal import NIOConcurrencyHelpers

/// Reads the log for cursors, and keeps the pages it read lately: cursors in the same range share them.
package final class PageReader: Sendable {
    private struct Entry {
        let filters: FilterSet
        let page: MessageBatch
        /// It ended at the number of messages that was asked for, not at its bytes: who may have more reads more.
        let isCut: Bool

        /// What it costs to keep: the page, the filters' texts, and enough for itself that look-ups stay short.
        var bytes: Int { page.bytes + filters.cost + 4_096 }

        func answers(_ request: PageRequest) -> Bool {
            guard page.after <= request.after, request.after < page.through, filters == request.filters else {
                return false
            }
            return !isCut
                || page.messages.count - BatchSelection.all.firstIndex(in: page, after: request.after)
                    >= request.countMax
        }
    }

    private struct Cache {
        var pages: Deque<Entry> = []
        var bytes = 0
    }

    private let store: any LogStore
    private let workers: WorkerPool
    private let bytesMax: Int
    private let cache = NIOLockedValueBox(Cache())

    package init(store: any LogStore, workers: WorkerPool, limits: Limits) {
        self.store = store
        self.workers = workers
        bytesMax = limits.pagesBytesMax
    }

    package var cachedBytes: Int { cache.withLockedValue { $0.bytes } }

    /// - Parameters:
    ///   - isRetained: only messages that are the retained one of their topic.
    ///   - connection: connections take turns.
    func page(
        _ request: PageRequest, isRetained: Bool, for connection: ConnectionID,
        reply: @escaping @Sendable (Result<MessageBatch, ApusError>) -> Void
    ) {
        workers.perform(for: connection) { [self] in
            guard !isRetained else {
                return reply(Result { () throws(ApusError) in try store.retained(request) })
            }
            if let page = cached(request) { return reply(.success(page)) }
            let result = Result { () throws(ApusError) in try store.page(request) }
            if case .success(let page) = result { keep(page, for: request) }
            reply(result)
        }
    }

    /// One step of it, when it is the connection's turn: who wants the next one asks again, so that a look-up over the
    /// whole log delays nobody, and ends when nobody wants it any more.
    func start(
        _ lookUp: StartLookUp, for connection: ConnectionID,
        reply: @escaping @Sendable (Result<LookUpStep<Seq, StartLookUp>, ApusError>) -> Void
    ) {
        workers.perform(for: connection) { [store] in
            reply(Result { () throws(ApusError) in try store.start(lookUp) })
        }
    }

    /// The connection is gone: what it asked for is not read.
    func drop(_ connection: ConnectionID) { workers.drop(connection) }

    /// A page read for the same filters that speaks for what comes behind `request.after`.
    private func cached(_ request: PageRequest) -> MessageBatch? {
        cache.withLockedValue { cache in cache.pages.first { $0.answers(request) }?.page }
    }

    /// Pages of fewer messages than this are not kept: many of them would make every look-up long.
    private static let keptMessagesMin = 64

    private func keep(_ page: MessageBatch, for request: PageRequest) {
        let isCut = page.messages.count >= request.countMax
        guard !isCut || page.messages.count >= PageReader.keptMessagesMin else { return }
        cache.withLockedValue { cache in
            let entry = Entry(filters: request.filters, page: page, isCut: isCut)
            cache.pages.append(entry)
            cache.bytes += entry.bytes
            while cache.bytes > bytesMax, let oldest = cache.pages.popFirst() { cache.bytes -= oldest.bytes }
        }
    }
}
