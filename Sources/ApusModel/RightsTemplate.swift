/// A filter on topics in which `%u` stands for the user and `%c` for the client id.
package struct FilterPattern: Hashable, Sendable, CustomStringConvertible {
    package let text: String

    /// - Throws: `invalid-filter`, saying what is wrong with it.
    package init(_ text: String) throws(ApusError) {
        // Whatever a name is, it has no slash and no wildcard: the shape of the filter does not depend on it.
        _ = try TopicFilter(FilterPattern.replaced(text, user: "u", client: "c"))
        self.text = text
    }

    package var description: String { text }
    package var namesClient: Bool { text.contains("%c") }

    /// Whether a name can stand in a filter without making it match more: no level of its own, no wildcard, and no way
    /// to the topics of the broker.
    package static func isSafe(_ name: String) -> Bool {
        !name.isEmpty && name.utf8.first != UInt8(ascii: "$")
            && !name.utf8.contains { byte in "/+#\0".utf8.contains(byte) }
    }

    /// - Parameter client: nil where there is none that could be filled in.
    /// - Returns: nil where that leaves nothing to allow.
    package func allowing(user: String, client: String?) -> TopicFilter? {
        guard FilterPattern.isSafe(user) || !text.contains("%u") else { return nil }
        guard !namesClient || client.map(FilterPattern.isSafe) == true else { return nil }
        return try? TopicFilter(FilterPattern.replaced(text, user: user, client: client ?? ""))
    }

    /// The same for a filter that denies: where a name cannot be filled in, its whole level is denied for every name.
    package func denying(user: String, client: String?) -> TopicFilter? {
        if let filter = allowing(user: user, client: client) { return filter }
        let levels = text.split(separator: "/", omittingEmptySubsequences: false).map { level in
            level.contains("%u") || level.contains("%c") ? "+" : level
        }
        return try? TopicFilter(levels.joined(separator: "/"))
    }

    /// One pass, so that a name that holds `%c` is not replaced again.
    private static func replaced(_ text: String, user: String, client: String) -> String {
        var out = ""
        var rest = text[...]
        while let sign = rest.firstIndex(of: "%") {
            out += rest[..<sign]
            let next = rest.index(after: sign)
            switch next < rest.endIndex ? rest[next] : nil {
            case "u": out += user
            case "c": out += client
            default:
                out += "%"
                rest = rest[next...]
                continue
            }
            rest = rest[rest.index(after: next)...]
        }
        return out + rest
    }
}

/// What a user may do, before it is known who that is.
package struct RightsTemplate: Hashable, Sendable {
    package struct Patterns: Hashable, Sendable {
        package var allow: [FilterPattern]
        package var deny: [FilterPattern]

        package init(allow: [FilterPattern] = [], deny: [FilterPattern] = []) {
            self.allow = allow
            self.deny = deny
        }

        package var isEmpty: Bool { allow.isEmpty && deny.isEmpty }

        func filled(_ user: String, _ client: String?) -> TopicRights {
            TopicRights(
                allow: allow.compactMap { $0.allowing(user: user, client: client) },
                deny: deny.compactMap { $0.denying(user: user, client: client) })
        }
    }

    package var patterns: [Rights.Action: Patterns]
    package var isAdmin: Bool

    package init(_ patterns: [Rights.Action: Patterns] = [:], isAdmin: Bool = false) {
        self.patterns = patterns
        self.isAdmin = isAdmin
    }

    package subscript(action: Rights.Action) -> Patterns {
        get { patterns[action] ?? Patterns() }
        set { patterns[action] = newValue.isEmpty ? nil : newValue }
    }

    /// Whether it depends on the client id.
    package var namesClient: Bool {
        patterns.values.contains { ($0.allow + $0.deny).contains { $0.namesClient } }
    }

    package func filled(user: String, client: String?) -> Rights {
        func topics(_ action: Rights.Action) -> TopicRights { self[action].filled(user, client) }
        return Rights(
            publish: topics(.publish), subscribe: topics(.subscribe), history: topics(.history), isAdmin: isAdmin)
    }
}
