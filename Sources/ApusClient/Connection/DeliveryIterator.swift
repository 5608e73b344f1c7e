internal import ApusModel
internal import DequeModule

/// A subscription or a query, as the application holds it: it keeps the client open, and when nobody holds it any more
/// it is cancelled.
final class DeliverySource<Element: Sendable>: Sendable {
    private let client: ApusClient
    let queue: DeliveryQueue<Element>
    private let onCancel: @Sendable () -> Void

    init(client: ApusClient, queue: DeliveryQueue<Element>, onCancel: @escaping @Sendable () -> Void) {
        self.client = client
        self.queue = queue
        self.onCancel = onCancel
    }

    deinit { onCancel() }

    func cancel() { onCancel() }
}

/// Takes all there is at a time, and hands it out one by one without a lock.
struct DeliveryIterator<Element: Sendable>: AsyncIteratorProtocol {
    /// Cancels when the iterator goes.
    private final class Hold {
        let source: DeliverySource<Element>
        init(source: DeliverySource<Element>) { self.source = source }
        deinit { source.cancel() }
    }

    private let hold: Hold
    private var batch: Deque<Element> = []

    init(source: DeliverySource<Element>) { hold = Hold(source: source) }

    mutating func next() async throws(ApusError) -> Element? { try await next(isolation: nil) }

    mutating func next(isolation actor: isolated (any Actor)?) async throws(ApusError) -> Element? {
        while true {
            if let element = batch.popFirst() { return element }
            switch hold.source.queue.take(&batch) {
            case .some: continue
            case .ended(let error):
                if let error { throw error }
                return nil
            case .empty: await hold.source.queue.wait(isolation: actor)
            }
            if Task.isCancelled {
                hold.source.cancel()
                return nil
            }
        }
    }
}
