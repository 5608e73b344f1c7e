import ApusModel
import ApusTesting
import Testing

@testable import ApusBroker

@Suite("Routing")
struct RouterTests {
    private static let names = ["a", "b", "", "$SYS", "longer"]

    private static func randomTopic(_ random: inout SeededRandom) -> String {
        while true {
            let levels = (0..<Int.random(in: 1...4, using: &random)).map { _ in
                names.randomElement(using: &random) ?? ""
            }
            let topic = levels.joined(separator: "/")
            if !topic.isEmpty { return topic }
        }
    }

    private static func randomFilter(_ random: inout SeededRandom) -> String {
        var levels = randomTopic(&random).split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        for index in levels.indices where random.isTrue(30) { levels[index] = "+" }
        if random.isTrue(30) { levels[levels.count - 1] = "#" }
        return levels.joined(separator: "/")
    }

    /// The definition of matching, level by level, written for being read.
    private static func matches(_ filter: ArraySlice<Substring>, _ topic: ArraySlice<Substring>) -> Bool {
        guard let level = filter.first else { return topic.isEmpty }
        if level == "#" { return true }
        guard let name = topic.first, level == "+" || level == name else { return false }
        return matches(filter.dropFirst(), topic.dropFirst())
    }

    private static func matches(_ filter: String, _ topic: String) -> Bool {
        if topic.hasPrefix("$"), filter.hasPrefix("+") || filter.hasPrefix("#") { return false }
        let filter = filter.split(separator: "/", omittingEmptySubsequences: false)
        return matches(filter[...], topic.split(separator: "/", omittingEmptySubsequences: false)[...])
    }

    @Test("finds exactly the routes whose filters match, and leaves nothing of removed ones", arguments: [1, 2, 3, 4])
    func findsWhatMatches(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        var router = Router(cacheMax: 16, cacheBytesMax: 1 << 20)
        var routes: [(route: Route, texts: [String])] = []
        for step in 0..<400 {
            if routes.count > 20 || (!routes.isEmpty && random.isTrue(40)) {
                router.remove(routes.remove(at: Int.random(in: routes.indices, using: &random)).route)
            } else {
                let texts = (0..<Int.random(in: 1...4, using: &random)).map { _ in Self.randomFilter(&random) }
                let set = FilterSet(try texts.map { (text) throws(ApusError) in try TopicFilter(text) })
                let route = router.route(for: set)
                if !routes.contains(where: { $0.route === route }) { routes.append((route, texts)) }
            }
            for _ in 0..<5 {
                let name = Self.randomTopic(&random)
                let topic = try Topic(name)
                let found = router.matches(topic)
                for (route, texts) in routes {
                    let times = found.count { $0 === route }
                    let expected = texts.contains { Self.matches($0, name) }
                    // Not an #expect for each: a hundred thousand of them take half a minute.
                    if times != (expected ? 1 : 0) || route.filters.matches(topic) != expected {
                        Issue.record("step \(step): \(texts) on \(name)")
                    }
                }
                if !found.allSatisfy({ found in routes.contains { $0.route === found } }) {
                    Issue.record("step \(step): a route that was removed")
                }
            }
        }
        for route in routes { router.remove(route.route) }
        #expect(router.isEmpty, "removed routes left something behind")
    }

    @Test("gives subscriptions with the same filters one route, in whatever order they name them")
    func sharesRoutes() throws {
        var router = Router(cacheMax: 16, cacheBytesMax: 1 << 20)
        let route = router.route(for: try filters("a/+", "b"))
        #expect(router.route(for: try filters("b", "a/+", "b")) === route)
        #expect(router.route(for: try filters("b")) !== route)
    }

    @Test("does not remember what a topic matched once filters come or go")
    func forgetsStaleMatches() throws {
        var router = Router(cacheMax: 16, cacheBytesMax: 1 << 20)
        let topic = try Topic("a/b")
        #expect(router.matches(topic).isEmpty)
        let route = router.route(for: try filters("a/#"))
        #expect(router.matches(topic).count == 1)
        router.remove(route)
        #expect(router.matches(topic).isEmpty)
    }

    @Test("what it remembers of topics is bounded in bytes, the routes that each goes to included")
    func cacheIsBounded() throws {
        var router = Router(cacheMax: 1_000, cacheBytesMax: 10_000)
        for index in 0..<100 { _ = router.route(for: try filters("#", "\(index)")) }
        for index in 0..<50 {
            #expect(router.matches(try Topic("t/\(index)")).count == 100)
            #expect(router.cacheBytes > 800 && router.cacheBytes <= 10_000)
        }
        // More than fits is found all the same.
        for index in 100..<2_000 { _ = router.route(for: try filters("#", "\(index)")) }
        #expect(router.matches(try Topic("t")).count == 2_000)
        #expect(router.cacheBytes <= 10_000)
    }

    @Test("of many routes with one filter each can leave, in any order", arguments: [1, 2] as [UInt64])
    func manyLeave(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        var router = Router(cacheMax: 16, cacheBytesMax: 1 << 20)
        var routes = try (0..<100).map { router.route(for: try filters("a/#", "a", "\($0)")) }
        var next = 100
        while !routes.isEmpty {
            // Others come in between, across the bound from which on places are known.
            if routes.count == 30, next < 150 {
                routes += try (next..<next + 10).map { router.route(for: try filters("a/#", "a", "\($0)")) }
                next += 10
            }
            router.remove(routes.remove(at: Int.random(in: routes.indices, using: &random)))
            for topic in ["a", "a/b"] {
                let found = Set(router.matches(try Topic(topic)).map(ObjectIdentifier.init))
                #expect(found == Set(routes.map(ObjectIdentifier.init)))
            }
        }
        #expect(router.isEmpty)
    }

    @Test("a filter at the root matches no topic that begins with a dollar sign, a named first level does")
    func hidesReservedTopics() throws {
        var router = Router(cacheMax: 16, cacheBytesMax: 1 << 20)
        for text in ["#", "+/x", "+/#", "$SYS/#", "$SYS/+"] { _ = router.route(for: try filters(text)) }
        let found = router.matches(try Topic("$SYS/x")).map { $0.filters.filters[0].text }
        #expect(Set(found) == ["$SYS/#", "$SYS/+"])
    }
}
