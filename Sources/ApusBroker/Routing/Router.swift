internal import ApusModel

/// All subscriptions of one event loop that have the same filters.
final class Route {
    let filters: FilterSet
    var subscriptions: [Subscription] = []
    /// The look-up that found it last: so that it is found once, without comparing it to all others.
    fileprivate var foundBy: UInt64 = 0
    /// Which topics of the batch that is being announced it wants, by index. Empty between announcements.
    var wanted: [Int] = []

    init(filters: FilterSet) { self.filters = filters }
}

/// Which routes a topic goes to: a trie of filters, and a bounded cache in front of it. Confined to one event loop.
struct Router {
    private final class Node {
        var names: [[UInt8]: Node] = [:]
        var single: Node?
        /// Routes with a filter that ends here.
        var ends: [Route] = []
        /// Routes with a filter whose `#` stands below here.
        var rests: [Route] = []

        var isEmpty: Bool { names.isEmpty && single == nil && ends.isEmpty && rests.isEmpty }
    }

    private let root = Node()
    private var routes: [FilterSet: Route] = [:]
    private var cache: [Topic: [Route]] = [:]
    private let cacheMax: Int
    private var lookUps: UInt64 = 0

    init(cacheMax: Int) { self.cacheMax = cacheMax }

    /// Whether removed routes left nothing behind, in the trie either.
    var isEmpty: Bool { routes.isEmpty && root.isEmpty }

    mutating func route(for filters: FilterSet) -> Route {
        if let route = routes[filters] { return route }
        let route = Route(filters: filters)
        routes[filters] = route
        for filter in filters.filters { insert(filter, route) }
        cache.removeAll(keepingCapacity: true)
        return route
    }

    mutating func remove(_ route: Route) {
        routes[route.filters] = nil
        for filter in route.filters.filters { remove(filter.levels[...], route, below: root) }
        cache.removeAll(keepingCapacity: true)
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
        if cache.count >= cacheMax { cache.removeAll(keepingCapacity: true) }
        cache[topic] = found
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
        case nil: node.ends.removeAll { $0 === route }
        case .rest: node.rests.removeAll { $0 === route }
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
        if !isReserved { add(node.rests) }
        guard let level = levels.first else { return add(node.ends) }
        if let next = node.names[Array(level)] {
            collect(levels.dropFirst(), below: next, isReserved: false, into: &found)
        }
        if !isReserved, let next = node.single {
            collect(levels.dropFirst(), below: next, isReserved: false, into: &found)
        }
    }
}
