// Stations 6 and 7, announce and cursors. Runs on one event loop. In: announcements. Out: answers to publishers, and
// chunks of messages to every cursor that can take them: from the tail, or, when it is behind the tail, in pages from
// the log. Bounded by `tail-bytes`, and by what each connection takes.

package import ApusModel
package import Atomics
package import NIOCore

/// A connection, as its event loop's hub knows it.
package protocol HubConnection: AnyObject {
    func answered(_ answer: ItemAnswer, bytes: Int)
    /// The intake is full, and it has something in it: it is not to be read until ``resumeReading()``.
    ///
    /// - Returns: false where it is not being read anyway.
    func stopReading() -> Bool
    /// It was paused because the intake was full.
    func resumeReading()
    /// The turn ends: one flush.
    func flush()
    /// For figures: each of its subscriptions, and how many bytes of frames that have not ended it holds.
    func look(_ body: (Subscription) -> Void) -> Int
}

extension HubConnection {
    package func look(_ body: (Subscription) -> Void) -> Int { 0 }
}

/// Everything that the subscriptions and publishers of one event loop share. Confined to that loop; not Sendable.
package final class Hub {
    package let index: Int
    private let loop: any EventLoop
    private let limits: Limits
    private let announcer: Announcer
    private let readers: PageReader
    private let clock: @Sendable () -> Microseconds
    /// Subscriptions of all hubs, for whoever asks from another thread.
    private let cursors: ManagedAtomic<Int>

    private var connections: [UInt64: any HubConnection] = [:]
    private var nextConnection: UInt64 = 1
    /// Who of them publishes, and who of those has to wait.
    package let publishers: PausedPublishers

    private var router: Router
    private var tail: Tail
    /// Everything up to here has been looked at for every live subscription.
    private var scanned: Seq = 0
    private var subscriptionCount = 0
    /// Chunks of the batch that is being announced: subscriptions that wish the same share them.
    private var shared: [SharedChunk: Chunk] = [:]

    private struct SharedChunk: Hashable {
        let route: ObjectIdentifier
        let key: ShareKey
        let start: Int
    }

    /// The batch that is being announced, and what a route wants of it.
    private struct Announced {
        let batch: MessageBatch
        let selection: BatchSelection
    }

    /// A chunk is about as long as what one write to a socket takes.
    private static let chunkBytesMax = 64 << 10

    package init(
        index: Int, loop: any EventLoop, limits: Limits, announcer: Announcer, readers: PageReader,
        cursors: ManagedAtomic<Int>, publishers: PausedPublishers, clock: @escaping @Sendable () -> Microseconds
    ) {
        self.index = index
        self.loop = loop
        self.limits = limits
        self.announcer = announcer
        self.readers = readers
        self.cursors = cursors
        self.publishers = publishers
        self.clock = clock
        router = Router(cacheMax: limits.nameCacheEntries, cacheBytesMax: limits.nameCacheBytes)
        tail = Tail(bytesMax: limits.tailBytesMax, head: 0)
    }

    package var connectionCount: Int { connections.count }
    package var tailBytes: Int { tail.bytes }
    var pausedCount: Int { publishers.count }
    var connectionNumbers: [UInt64] { Array(connections.keys) }
    func connection(_ number: UInt64) -> (any HubConnection)? { connections[number] }

    func standing(of subscription: Subscription, _ connection: ConnectionID) -> CursorStanding {
        let isBehind = !subscription.isLive && subscription.hasBegun && subscription.position < scanned
        return CursorStanding(
            connection: connection, subscription: subscription.number,
            lag: isBehind ? scanned - subscription.position : 0,
            isBehindTail: isBehind && !tail.covers(subscription.position), wait: subscription.wait)
    }

    // MARK: Connections

    package func add(_ connection: any HubConnection) -> ConnectionID {
        let id = ConnectionID(hub: index, number: nextConnection)
        nextConnection += 1
        connections[id.number] = connection
        return id
    }

    package func remove(_ id: ConnectionID) {
        connections[id.number] = nil
        publishers.remove(id)
        readers.drop(id)
    }

    // MARK: Announcements

    package func receive(_ announcement: Announcement) {
        var touched: [any HubConnection] = []
        for (id, answer, bytes) in announcement.answers {
            guard let connection = connections[id.number] else { continue }
            connection.answered(answer, bytes: bytes)
            if touched.last !== connection { touched.append(connection) }
        }
        // Answers leave before messages: a publisher's round trip does not wait for the fan-out.
        for connection in touched { connection.flush() }
        if let batch = announcement.batch { receive(batch) }
        if announcement.hasRoom { publishers.roomAnnounced() }
    }

    private func receive(_ batch: MessageBatch) {
        // Announced to this loop before it lost and regained its interest.
        guard batch.through > scanned, subscriptionCount > 0 else { return }
        let before = scanned
        tail.append(batch)
        scanned = batch.through
        for (route, selection) in select(batch) {
            let announced = Announced(batch: batch, selection: selection)
            for subscription in route.subscriptions where subscription.isLive {
                subscription.isLive = false
                // One that began ahead of this loop's knowledge stays ahead.
                subscription.position = max(subscription.position, before)
                pull(subscription, announced)
                subscription.outlet.flush()
            }
        }
        shared.removeAll(keepingCapacity: true)
    }

    /// The routes that want something of a batch and have somebody to take it, and what. Each distinct topic is matched
    /// once; the work is in proportion to what matches, not to how many subscriptions there are.
    private func select(_ batch: MessageBatch) -> [(Route, BatchSelection)] {
        var matched: [Route] = []
        for (index, topic) in batch.topics.enumerated() {
            for route in router.matches(topic) where route.liveCount > 0 {
                if route.wanted.isEmpty { matched.append(route) }
                route.wanted.append(index)
            }
        }
        var byTopic: [[UInt32]]?
        return matched.map { route in
            let topics = route.wanted
            route.wanted.removeAll(keepingCapacity: topics.count <= 64)
            guard topics.count < batch.topics.count else { return (route, .all) }
            let lists = byTopic ?? batch.indicesByTopic()
            byTopic = lists
            return (route, .some(topics.count == 1 ? lists[topics[0]] : topics.flatMap { lists[$0] }.sorted()))
        }
    }

    // MARK: Subscriptions

    /// A subscription that is registered; nothing comes for it before ``start(_:)``.
    package func subscribe(
        number: UInt32, form: UInt8, filters: FilterSet, from start: StartPosition, credit: UInt64?,
        outlet: any SubscriptionOutlet
    ) -> Subscription {
        if subscriptionCount == 0 {
            scanned = announcer.subscribe(hub: index)
            tail.reset(head: scanned)
        }
        subscriptionCount += 1
        cursors.wrappingIncrement(ordering: .relaxed)
        let route = router.route(for: filters)
        let subscription = Subscription(
            number: number, filters: filters, shareKey: ShareKey(number: number, form: form), route: route,
            start: start, credit: credit, outlet: outlet)
        route.add(subscription)
        return subscription
    }

    /// The start is looked up, then `outlet.subscribed` is called, then messages come.
    package func start(_ subscription: Subscription) {
        if subscription.start == .now {
            begin(subscription, at: scanned)
        } else {
            lookUp(StartLookUp(subscription.start, filters: subscription.filters), for: subscription)
        }
    }

    package func unsubscribe(_ subscription: Subscription) {
        guard !subscription.isClosed else { return }
        subscription.isClosed = true
        subscription.isLive = false
        leaveRoute(subscription)
        subscriptionCount -= 1
        cursors.wrappingDecrement(ordering: .relaxed)
        if subscriptionCount == 0 {
            announcer.unsubscribe(hub: index)
            tail.reset(head: scanned)
        }
    }

    private func leaveRoute(_ subscription: Subscription) {
        let route = subscription.route
        route.remove(subscription)
        if route.subscriptions.isEmpty { router.remove(route) }
    }

    /// What its reader may read has changed: it goes on from where it stands, with other filters.
    package func change(_ subscription: Subscription, to filters: FilterSet) {
        guard !subscription.isClosed, filters != subscription.filters else { return }
        leaveRoute(subscription)
        router.route(for: filters).add(subscription)
        subscription.filters = filters
        // What is on its way was read by the old filters.
        subscription.isReadStale = subscription.isReading
    }

    package func add(credit: UInt64, to subscription: Subscription) {
        subscription.add(credit: credit)
        resume(subscription)
    }

    /// Its connection can take more again.
    package func resume(_ subscription: Subscription) {
        guard !subscription.isLive, !subscription.isReading, !subscription.isClosed else { return }
        if case .starting = subscription.phase { return }
        pull(subscription)
    }

    private func lookUp(_ lookUp: StartLookUp, for subscription: Subscription) {
        subscription.isReading = true
        let bound = NIOLoopBound((self, subscription), eventLoop: loop)
        let loop = loop
        readers.start(lookUp, for: subscription.outlet.id) { result in
            loop.execute {
                let (hub, subscription) = bound.value
                hub.lookedUp(subscription, result)
            }
        }
    }

    private func lookedUp(_ subscription: Subscription, _ result: Result<LookUpStep<Seq, StartLookUp>, ApusError>) {
        subscription.isReading = false
        // A position shows nothing of what it was found by.
        subscription.isReadStale = false
        guard !subscription.isClosed else {
            subscription.onIdle?()
            return
        }
        switch result {
        case .failure(let error): fail(subscription, error)
        case .success(.goOn(let next)): lookUp(next, for: subscription)
        case .success(.answer(let seq)) where subscription.start == .lastPerTopic:
            subscription.phase = .retained(through: seq)
            subscription.outlet.subscribed(subscription, next: 1)
            pull(subscription)
            subscription.outlet.flush()
        case .success(.answer(let seq)): begin(subscription, at: seq)
        }
    }

    private func begin(_ subscription: Subscription, at position: Seq) {
        subscription.phase = .log
        subscription.position = position
        subscription.outlet.subscribed(subscription, next: position + 1)
        pull(subscription)
        subscription.outlet.flush()
    }

    private func fail(_ subscription: Subscription, _ error: ApusError) {
        unsubscribe(subscription)
        subscription.outlet.failed(subscription, error)
        subscription.outlet.flush()
    }

    // MARK: Pulling: one path for live, behind and replay

    private func pull(_ subscription: Subscription, _ announced: Announced? = nil) {
        while subscription.canTake, !subscription.isClosed {
            if case .retained = subscription.phase { return read(subscription) }
            guard subscription.position < scanned else { break }
            guard tail.covers(subscription.position), let batch = tail.batch(behind: subscription.position) else {
                return read(subscription)
            }
            let isAnnounced = batch === announced?.batch
            let selection = isAnnounced ? announced?.selection : selection(of: batch, subscription.route)
            deliver(batch, to: subscription, selection ?? .all, mayShare: isAnnounced)
        }
        // Nothing is left for it: it is live although it may not take anything just now. `caught-up` is no message, so
        // it needs no credit.
        if subscription.position >= scanned, case .log = subscription.phase, !subscription.isClosed {
            becomeLive(subscription)
        }
    }

    private func becomeLive(_ subscription: Subscription) {
        subscription.isLive = true
        guard !subscription.hasCaughtUp else { return }
        subscription.hasCaughtUp = true
        subscription.outlet.caughtUp(subscription, seq: max(scanned, subscription.position))
    }

    /// What a route wants of a batch that was announced earlier.
    private func selection(of batch: MessageBatch, _ route: Route) -> BatchSelection {
        let wanted = batch.topics.map { topic in
            let routes = router.matches(topic)
            // Where a topic goes to many routes, asking the filters is cheaper than searching for this one.
            return routes.count > 32 ? route.filters.matches(topic) : routes.contains { $0 === route }
        }
        guard wanted.contains(true) else { return .some([]) }
        guard wanted.contains(false) else { return .all }
        let indices = batch.messages.indices.filter { wanted[Int(batch.messages[$0].topic)] }
        return .some(indices.map(UInt32.init))
    }

    /// Delivers what the connection takes of a batch, and moves the cursor.
    private func deliver(
        _ batch: MessageBatch, to subscription: Subscription, _ selection: BatchSelection, isRetained: Bool = false,
        mayShare: Bool = false
    ) {
        let now = clock()
        report(batch.gaps, to: subscription)
        var index = selection.firstIndex(in: batch, after: subscription.position)
        let end = selection.count(in: batch)
        var expired: [Seq] = []
        while index < end {
            guard subscription.canTake else {
                // What is left out up to the next message is told now: whoever reads on from there does not see it.
                return advance(subscription, to: selection.message(index, in: batch).seq - 1, batch, &expired)
            }
            let request = ChunkRequest(
                batch: batch, selection: selection, start: index, subscription: subscription.number,
                isRetained: isRetained, bytesMax: Hub.chunkBytesMax, countMax: subscription.countMax, now: now)
            let chunk = chunk(request, for: subscription, mayShare: mayShare)
            subscription.spend(chunk.count)
            subscription.outlet.write(chunk)
            expired += chunk.expired
            index = chunk.end
        }
        advance(subscription, to: batch.through, batch, &expired)
    }

    /// Moves the cursor, and says in one gap what of the stretch behind it had expired: at reading, and (`expired`)
    /// since. The messages of the stretch have been written: who resumes behind the gap has had them.
    private func advance(
        _ subscription: Subscription, to position: Seq, _ batch: MessageBatch, _ expired: inout [Seq]
    ) {
        let before = subscription.position
        guard position > before else { return }
        subscription.position = position
        expired += batch.expired.filter { $0 > before && $0 <= position }
        guard let from = expired.min(), let through = expired.max() else { return }
        subscription.outlet.gap(
            subscription, Gap(from: from, through: through, count: UInt64(expired.count), reason: .expired))
    }

    private func chunk(_ request: ChunkRequest, for subscription: Subscription, mayShare: Bool) -> Chunk {
        guard mayShare, subscription.route.subscriptions.count > 1 else { return subscription.outlet.encode(request) }
        let key = SharedChunk(
            route: ObjectIdentifier(subscription.route), key: subscription.shareKey, start: request.start)
        var chunk = shared[key]
        if chunk == nil {
            var unlimited = request
            unlimited.countMax = Int.max
            chunk = subscription.outlet.encode(unlimited)
            shared[key] = chunk
        }
        // Where credit ends inside it, the subscription gets one of its own.
        if let chunk, chunk.count <= request.countMax { return chunk }
        return subscription.outlet.encode(request)
    }

    /// What is gone lies before the page's first message. Each seq once, wherever the cursor stands in the page.
    private func report(_ gaps: [Gap], to subscription: Subscription) {
        for gap in gaps where gap.through > subscription.position {
            let from = max(gap.from, subscription.position + 1)
            let count = min(gap.count, gap.through - from + 1)
            subscription.position = gap.through
            subscription.outlet.gap(
                subscription, Gap(from: from, through: gap.through, count: count, reason: gap.reason))
        }
    }

    // MARK: Reading behind the tail

    private func read(_ subscription: Subscription) {
        guard !subscription.isReading else { return }
        subscription.isReading = true
        let isRetained: Bool
        let through: Seq
        if case .retained(let end) = subscription.phase {
            (isRetained, through) = (true, end)
        } else {
            (isRetained, through) = (false, scanned)
        }
        let request = PageRequest(
            filters: subscription.filters, after: subscription.position, through: through,
            bytesMax: limits.pageBytesMax, countMax: min(subscription.countMax, limits.batchRowsMax))
        let bound = NIOLoopBound((self, subscription), eventLoop: loop)
        let loop = loop
        readers.page(request, isRetained: isRetained, for: subscription.outlet.id) { result in
            loop.execute {
                let (hub, subscription) = bound.value
                hub.received(result, for: subscription, isRetained: isRetained)
            }
        }
    }

    private func received(
        _ result: Result<MessageBatch, ApusError>, for subscription: Subscription, isRetained: Bool
    ) {
        subscription.isReading = false
        guard !subscription.isClosed else {
            subscription.onIdle?()
            return
        }
        if subscription.isReadStale {
            subscription.isReadStale = false
            pull(subscription)
            return subscription.outlet.flush()
        }
        switch result {
        case .failure(let error): return fail(subscription, error)
        case .success(let page): deliver(page, to: subscription, .all, isRetained: isRetained)
        }
        if case .retained(let through) = subscription.phase, subscription.position >= through {
            subscription.phase = .log
        }
        pull(subscription)
        subscription.outlet.flush()
    }
}
