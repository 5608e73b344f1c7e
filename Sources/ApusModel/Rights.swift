/// Which topics something may be done with: those that an `allow` filter matches and no `deny` filter does.
///
/// A value of one reference: it goes with every subscription, and is compared and hashed with its filters.
package struct TopicRights: Hashable, Sendable {
    private final class Storage: Sendable {
        let allow: [TopicFilter]
        let deny: [TopicFilter]
        let hash: Int

        init(allow: [TopicFilter], deny: [TopicFilter]) {
            // Sorted and distinct: what allows the same is the same.
            self.allow = Array(Set(allow)).sorted { $0.text < $1.text }
            self.deny = Array(Set(deny)).sorted { $0.text < $1.text }
            var hasher = Hasher()
            hasher.combine(self.allow)
            hasher.combine(self.deny)
            hash = hasher.finalize()
        }
    }

    /// nil: every topic, those that begin with `$` included.
    private let storage: Storage?

    private init(_ storage: Storage?) { self.storage = storage }

    package init(allow: [TopicFilter], deny: [TopicFilter] = []) {
        storage = Storage(allow: allow, deny: deny)
    }

    package static let everything = TopicRights(nil)
    package static let nothing = TopicRights(allow: [])

    /// Whether nothing has to be asked, not even for topics that begin with `$`: a broker without users.
    package var isEverything: Bool { storage == nil }
    /// Whether there is no topic that is allowed.
    package var isNothing: Bool { storage?.allow.isEmpty ?? false }
    /// Empty also where ``isEverything``.
    package var allow: [TopicFilter] { storage?.allow ?? [] }
    package var deny: [TopicFilter] { storage?.deny ?? [] }

    package func allows(_ topic: Topic) -> Bool { allows(topic.bytes) }

    package func allows(_ topic: [UInt8]) -> Bool {
        guard let storage else { return true }
        return storage.allow.contains { $0.matches(topic) } && !storage.deny.contains { $0.matches(topic) }
    }

    /// Whether there may be a topic that `filter` matches and that is allowed. False is certain; true is wrong only
    /// where several `deny` filters together leave nothing.
    package func mayAllow(_ filter: TopicFilter) -> Bool {
        guard let storage else { return true }
        return storage.allow.contains { allowed in
            guard let both = TopicFilter.intersection(filter.levels, allowed.levels) else { return false }
            return !storage.deny.contains { TopicFilter.covers($0.levels, both) }
        }
    }

    /// Whether every topic that `filter` matches is allowed by one of the `allow` filters, and none is denied.
    package func allowsAll(_ filter: TopicFilter) -> Bool {
        guard let storage else { return true }
        return storage.allow.contains { $0.covers(filter) } && !storage.deny.contains { $0.intersects(filter) }
    }

    /// What matters of them for these filters, so that those whom the same part concerns can share what is read.
    package func relevant(to filters: [TopicFilter]) -> TopicRights {
        guard let storage, !filters.allSatisfy(allowsAll) else { return .everything }
        func touching(_ rights: [TopicFilter]) -> [TopicFilter] {
            rights.filter { right in filters.contains { $0.intersects(right) } }
        }
        return TopicRights(allow: touching(storage.allow), deny: touching(storage.deny))
    }

    package static func == (a: TopicRights, b: TopicRights) -> Bool {
        if a.storage === b.storage { return true }
        guard let one = a.storage, let other = b.storage else { return false }
        return one.hash == other.hash && one.allow == other.allow && one.deny == other.deny
    }

    package func hash(into hasher: inout Hasher) { hasher.combine(storage?.hash) }
}

/// What somebody may do.
package struct Rights: Hashable, Sendable {
    package enum Action: String, CaseIterable, Sendable {
        case publish
        /// Messages through subscriptions, from any position.
        case subscribe
        /// Queries of what is recorded: `history`, `get`, `topics`.
        case history
    }

    package var publish: TopicRights
    package var subscribe: TopicRights
    package var history: TopicRights
    /// `status`, metrics, and whatever concerns the broker instead of a topic.
    package var isAdmin: Bool

    package init(
        publish: TopicRights = .nothing, subscribe: TopicRights = .nothing, history: TopicRights = .nothing,
        isAdmin: Bool = false
    ) {
        self.publish = publish
        self.subscribe = subscribe
        self.history = history
        self.isAdmin = isAdmin
    }

    /// Of a broker without users.
    package static let everything = Rights(
        publish: .everything, subscribe: .everything, history: .everything, isAdmin: true)
    package static let nothing = Rights()

    package func topics(_ action: Action) -> TopicRights {
        switch action {
        case .publish: publish
        case .subscribe: subscribe
        case .history: history
        }
    }

    package func allows(_ action: Action, _ topic: Topic) -> Bool { topics(action).allows(topic) }
}
