// Part of station 3. Runs on the connection's event loop. In: who the peer is. Out: what it asked for, as far as it may.

internal import ApusBroker
internal import ApusModel
internal import ApusWire

/// Who the peer of a connection is, and what it asked for that depends on it: when its rights change, that is looked at
/// again. On a broker without users nothing is kept.
struct Guest {
    private let access: any AccessControl
    let admittance: NativeSession.Admittance
    var identity: Identity
    /// Filters as they were asked for, by subscription.
    var subscriptions: [UInt32: FilterSet] = [:]
    var queries: [UInt32: Query] = [:]

    init(access: any AccessControl, allowsAnonymous: Bool) {
        self.access = access
        if access.isOpen {
            (admittance, identity) = (.everybody, .everybody)
        } else {
            admittance = allowsAnonymous ? .anonymous : .usersOnly
            identity = allowsAnonymous ? Guest.anonymous(access) : Identity(user: "", rights: .nothing)
        }
    }

    /// Without an entry of its own an anonymous peer may be here and do nothing.
    static func anonymous(_ access: any AccessControl) -> Identity {
        access.identity(of: "") ?? Identity(user: "", rights: .nothing)
    }

    static let mayNotRead = ApusError(
        .notAllowed, "this user may read no topic that is asked for",
        hint: "An administrator grants it: apus user grant USER subscribe FILTER, or history.")
    static let mayNotPublish = ApusError(
        .notAllowed, "this user may publish to no topic, and so has no publisher's name",
        hint: "An administrator grants it: apus user grant USER publish FILTER.")
    static let mayNotAdministrate = ApusError(
        .notAllowed, "only an administrator may ask for the status",
        hint: "An administrator grants it: apus user grant USER admin.")

    static let rightsChanged = ApusError(
        .notAllowed, "the rights of this user were changed while the query ran", hint: "Ask again.")

    /// - Returns: nil where nothing of it may be read.
    mutating func filters(for subscribe: Subscribe) -> FilterSet? {
        let asked = FilterSet(subscribe.filters)
        if admittance == .everybody { return asked }
        guard let filters = asked.restricted(to: identity.rights.subscribe) else { return nil }
        subscriptions[subscribe.subscription] = asked
        return filters
    }

    /// - Returns: nil where nothing of it may be read.
    mutating func selection(for query: Query) -> QueryCursor.Selection? {
        guard let selection = Guest.selection(for: query, identity.rights) else { return nil }
        if admittance != .everybody { queries[query.query] = query }
        return selection
    }

    static func selection(for query: Query, _ rights: Rights) -> QueryCursor.Selection? {
        if query.select == .status { return rights.isAdmin ? .status : nil }
        let asked = query.filters.isEmpty ? FilterSet.all : FilterSet(query.filters)
        guard let filters = asked.restricted(to: rights.history) else { return nil }
        return query.select == .topics ? .topics(filters) : .history(HistorySelection(filters, query.conditions))
    }
}
