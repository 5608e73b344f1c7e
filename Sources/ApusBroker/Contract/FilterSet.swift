package import ApusModel

/// The filters of one subscription or query, as one thing: overlaps deliver once. What its reader may not read is part
/// of it, so that two of them share a route, a page or a plan only where they see the same.
package struct FilterSet: Hashable, Sendable {
    /// Sorted by text, distinct. Empty stands for every topic, `$` topics included: a query that names no filter.
    package let filters: [TopicFilter]
    /// Holds on top of the filters.
    package let restriction: TopicRights

    package init(_ filters: [TopicFilter]) {
        self.init(Array(Set(filters)).sorted { $0.text < $1.text }, .everything)
    }

    package static let all = FilterSet([], .everything)

    private init(_ filters: [TopicFilter], _ restriction: TopicRights) {
        self.filters = filters
        self.restriction = restriction
    }

    /// Bytes of memory, roughly.
    package var cost: Int { [filters, restriction.allow, restriction.deny].joined().reduce(64) { $0 + $1.cost } }

    package var isEverything: Bool { filters.isEmpty && restriction.isEverything }

    package func matches(_ topic: Topic) -> Bool { matches(topic.bytes) }

    package func matches(_ topic: [UInt8]) -> Bool {
        (filters.isEmpty || filters.contains { $0.matches(topic) }) && restriction.allows(topic)
    }

    /// What is left of it for somebody with these rights; nil where nothing can ever be.
    ///
    /// Where the rights leave nothing out it is the same value as without: then nothing is asked about a message, and
    /// what is read is shared with everybody else.
    package func restricted(to rights: TopicRights) -> FilterSet? {
        if rights.isEverything { return self }
        let asked = filters.isEmpty ? rights.allow : filters
        let left = asked.filter(rights.mayAllow)
        guard !left.isEmpty else { return nil }
        return FilterSet(left, rights.relevant(to: left))
    }
}
