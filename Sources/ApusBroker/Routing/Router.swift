internal import ApusModel

/// All subscriptions of one event loop that have the same filters.
final class Route {
    let filters: FilterSet
    private(set) var subscriptions: [Subscription] = []
    /// How many of them are live. A batch is no work for a route without.
    fileprivate(set) var liveCount = 0
    /// The look-up that found it last: so that it is found once, without comparing it to all others.
    fileprivate var foundBy: UInt64 = 0
    /// Which topics of the batch that is being announced it wants, by index. Empty between announcements.
    var wanted: [Int] = []

    init(filters: FilterSet) { self.filters = filters }

    func add(_ subscription: Subscription) {
        subscription.route = self
        subscription.place = subscriptions.count
        subscriptions.append(subscription)
        if subscription.isLive { liveCount += 1 }
    }

    /// The last one takes its place: many may leave at once, and their order means nothing.
    func remove(_ subscription: Subscription) {
        if subscription.isLive { liveCount -= 1 }
        let last = subscriptions.removeLast()
        guard last !== subscription else { return }
        last.place = subscription.place
        subscriptions[subscription.place] = last
    }

    func livenessChanged(to isLive: Bool) { liveCount += isLive ? 1 : -1 }
}

/// Routes whose filter ends at one node of the trie. Many filter sets may have one filter, and leave at once: from
/// `indexedMin` on each one's place is known.
private struct RouteList {
    private static let indexedMin = 32

    private(set) var routes: [Route] = []
    private var places: [ObjectIdentifier: Int] = [:]

    mutating func append(_ route: Route) {
        routes.append(route)
        if routes.count == RouteList.indexedMin {
            for (place, route) in routes.enumerated() { places[ObjectIdentifier(route)] = place }
        } else if routes.count > RouteList.indexedMin {
            places[ObjectIdentifier(route)] = routes.count - 1
        }
    }

    mutating func remove(_ route: Route) {
        let known = places.removeValue(forKey: ObjectIdentifier(route))
        guard let place = known ?? routes.firstIndex(where: { $0 === route }) else { return }
        routes.swapAt(place, routes.count - 1)
        routes.removeLast()
        if routes.count < RouteList.indexedMin {
            places = [:]
        } else if place < routes.count {
            places[ObjectIdentifier(routes[place])] = place
        }
    }
}

/// Which routes a topic goes to: a trie of filters, and a bounded cache in front of it. Confined to one event loop.
struct Router {
    private final class Node {
        var names: [[UInt8]: Node] = [:]
        var single: Node?
        /// Routes with a filter that ends here.
        var ends = RouteList()
        /// Routes with a filter whose `#` stands below here.
        var rests = RouteList()

        var isEmpty: Bool { names.isEmpty && single == nil && ends.routes.isEmpty && rests.routes.isEmpty }
    }

    private let root = Node()
    private var routes: [FilterSet: Route] = [:]
    private var cache: [Topic: [Route]] = [:]
    private let cacheMax: Int
    private let cacheBytesMax: Int
    /// Of the topics, and of the routes that they go to: a topic that everybody wants is as long as there are routes.
    private(set) var cacheBytes = 0
    private var lookUps: UInt64 = 0

    /// - Parameters:
    ///   - cacheMax: in topics.
    ///   - cacheBytesMax: in bytes of memory.
    init(cacheMax: Int, cacheBytesMax: Int) {
        self.cacheMax = cacheMax
        self.cacheBytesMax = cacheBytesMax
    }

    /// Whether removed routes left nothing behind, in the trie either.
    var isEmpty: Bool { routes.isEmpty && root.isEmpty }

    mutating func route(for filters: FilterSet) -> Route {
        if let route = routes[filters] { return route }
        let route = Route(filters: filters)
        routes[filters] = route
        for filter in filters.filters { insert(filter, route) }
        forget()
        return route
    }

    mutating func remove(_ route: Route) {
        routes[route.filters] = nil
        for filter in route.filters.filters { remove(filter.levels[...], route, below: root) }
        forget()
    }

    private mutating func forget() {
        guard !cache.isEmpty else { return }
        cache.removeAll(keepingCapacity: true)
        cacheBytes = 0
    }

    /// Each route once, however many of its filters match.
    mutating func matches(_ topic: Topic) -> [Route] {
        if let routes = cache[topic] { return routes }
        var found: [Route] = []
        lookUps += 1
        let levels = topic.bytes.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        collect(levels[...], below: root, isReserved: topic.isReserved, into: &found)
        found.removeAll { !$0.filters.restriction.allows(topic) }
        guard topic.isCacheable else { return found }
        let bytes = topic.cost + found.count * MemoryLayout<Route>.stride
        if cache.count >= cacheMax || cacheBytes + bytes > cacheBytesMax { forget() }
        guard bytes <= cacheBytesMax else { return found }
        cache[topic] = found
        cacheBytes += bytes
        return found
    }

    private func insert(_ filter: TopicFilter, _ route: Route) {
        var node = root
        for level in filter.levels {
            switch level {
            case .rest:
                node.rests.append(route)
                return
            case .single:
                let next = node.single ?? Node()
                node.single = next
                node = next
            case .name(let name):
                let next = node.names[name] ?? Node()
                node.names[name] = next
                node = next
            }
        }
        node.ends.append(route)
    }

    private func remove(_ levels: ArraySlice<TopicFilter.Level>, _ route: Route, below node: Node) {
        switch levels.first {
        case nil: node.ends.remove(route)
        case .rest: node.rests.remove(route)
        case .single:
            guard let next = node.single else { return }
            remove(levels.dropFirst(), route, below: next)
            if next.isEmpty { node.single = nil }
        case .name(let name):
            guard let next = node.names[name] else { return }
            remove(levels.dropFirst(), route, below: next)
            if next.isEmpty { node.names[name] = nil }
        }
    }

    private func collect(
        _ levels: ArraySlice<ArraySlice<UInt8>>, below node: Node, isReserved: Bool, into found: inout [Route]
    ) {
        func add(_ routes: [Route]) {
            for route in routes where route.foundBy != lookUps {
                route.foundBy = lookUps
                found.append(route)
            }
        }
        // MQTT 5.0, 4.7.2: a wildcard in the first place does not match a topic that begins with `$`.
        if !isReserved { add(node.rests.routes) }
        guard let level = levels.first else { return add(node.ends.routes) }
        if let next = node.names[Array(level)] {
            collect(levels.dropFirst(), below: next, isReserved: false, into: &found)
        }
        if !isReserved, let next = node.single {
            collect(levels.dropFirst(), below: next, isReserved: false, into: &found)
        }
    }
}
