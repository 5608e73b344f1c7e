package import ApusModel

/// The filters of one subscription, as one thing: overlaps deliver once.
package struct FilterSet: Hashable, Sendable {
    /// Sorted by text, distinct. Empty stands for every topic, `$` topics included: a query that names no filter.
    package let filters: [TopicFilter]

    package init(_ filters: [TopicFilter]) {
        self.filters = Array(Set(filters)).sorted { $0.text < $1.text }
    }

    package static let all = FilterSet(unchecked: [])

    private init(unchecked filters: [TopicFilter]) { self.filters = filters }

    /// Bytes of memory, roughly: a text, and its levels, each in an array of its own.
    package var cost: Int { filters.reduce(64) { $0 + 4 * $1.text.utf8.count + 64 } }

    package var isEverything: Bool { filters.isEmpty }

    package func matches(_ topic: Topic) -> Bool {
        filters.isEmpty || filters.contains { $0.matches(topic) }
    }
}
