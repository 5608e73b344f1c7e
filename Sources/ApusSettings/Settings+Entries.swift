package import ApusModel
internal import Logging

/// One line of what is in force.
package struct SettingEntry: Hashable, Sendable {
    /// `log.level`, `listeners[0].address`.
    package let key: String
    /// Typed as in the file; `null` for none.
    package let value: JSON
    package let origin: Origin
    /// The option whose value stands here; nil where it is said here itself.
    package let inheritedFrom: String?

    /// As people read it: where there is nothing, what that means.
    package var text: String {
        switch value {
        case .null: key == "event-loops" ? SettingsOption.named(key)?.standard ?? "" : SettingsOption.none
        case .string(let text): text
        default: value.text
        }
    }

    /// What a change of it would mean.
    package var change: SettingsOption.Change { SettingsOption.named(key)?.change ?? .restart }
}

extension Settings {
    /// Everything that is in force, in the order of the options. No secrets: there is no option that is one.
    package var entries: [SettingEntry] {
        var entries = EntryList()
        entries.add("db", .string(db.value), db.origin)
        entries.add("users", users.value.map(JSON.string), users.origin)
        entries.add("allow-anonymous", .bool(allowsAnonymous.value), allowsAnonymous.origin)
        entries.add("default-topic", defaultTopic.value.map { .string($0.name) }, defaultTopic.origin)
        entries.add("event-loops", eventLoops.value.map { .integer(Int64($0)) }, eventLoops.origin)
        entries.add("migrate", .bool(migrates.value), migrates.origin)
        for (index, listener) in listeners.enumerated() {
            entries.add(listener, "listeners[\(index)]", self)
        }
        entries.add("http.address", http.address.value.map { .string($0.description) }, http.address.origin)
        entries.add("http.anonymous-metrics", .bool(http.anonymousMetrics.value), http.anonymousMetrics.origin)
        entries.add("log.level", .string(logLevel.value.rawValue), logLevel.origin)
        entries.add("log.format", .string(logFormat.value.rawValue), logFormat.origin)
        for row in Limits.table {
            entries.add("limits.\(row.name)", .integer(Int64(row.value(in: limits))), limitOrigin(row.name))
        }
        return entries.list
    }
}

private struct EntryList {
    private(set) var list: [SettingEntry] = []

    mutating func add(_ key: String, _ value: JSON?, _ origin: Origin, inheritedFrom: String? = nil) {
        list.append(SettingEntry(key: key, value: value ?? .null, origin: origin, inheritedFrom: inheritedFrom))
    }

    mutating func add(_ listener: ListenerSettings, _ prefix: String, _ settings: Settings) {
        add("\(prefix).address", .string(listener.address.value.description), listener.address.origin)
        if let tls = listener.tls {
            add("\(prefix).tls.certificate", .string(tls.certificate.value), tls.certificate.origin)
            add("\(prefix).tls.key", .string(tls.key.value), tls.key.origin)
            add("\(prefix).tls.client-ca", tls.clientCA.value.map(JSON.string), tls.clientCA.origin)
            add(
                "\(prefix).tls.client-certificates", .string(tls.clientCertificates.value.rawValue),
                tls.clientCertificates.origin)
        }
        for (name, networks) in [("allow", listener.allow), ("deny", listener.deny)] {
            add("\(prefix).\(name)", .array(networks.value.map { .string($0.description) }), networks.origin)
        }
        let isAnonymousInherited = listener.allowsAnonymous == settings.allowsAnonymous
        add(
            "\(prefix).allow-anonymous", .bool(listener.allowsAnonymous.value), listener.allowsAnonymous.origin,
            inheritedFrom: isAnonymousInherited ? "allow-anonymous" : nil)
        for limit in ListenerLimit.allCases {
            if let setting = listener.limits[limit] {
                add("\(prefix).\(limit.rawValue)", .integer(Int64(setting.value)), setting.origin)
            } else if let row = limit.row {
                add(
                    "\(prefix).\(limit.rawValue)", .integer(Int64(row.value(in: settings.limits))),
                    settings.limitOrigin(row.name), inheritedFrom: "limits.\(row.name)")
            }
        }
        let isTopicInherited = listener.defaultTopic == settings.defaultTopic
        add(
            "\(prefix).default-topic", listener.defaultTopic.value.map { .string($0.name) },
            listener.defaultTopic.origin, inheritedFrom: isTopicInherited ? "default-topic" : nil)
    }
}
