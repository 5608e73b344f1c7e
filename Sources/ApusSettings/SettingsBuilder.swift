internal import ApusModel
internal import Logging

/// Makes the settings of the layers: flags over environment over file over defaults. Every value is read, also those
/// that another layer covers: a fault in the file is one, whoever covers it today.
struct SettingsBuilder {
    let file: FileLayer
    let environment: [String: RawValue]
    let flags: Flags
    private(set) var problems: ProblemList

    mutating func settings() -> Settings {
        var settings = Settings()
        read("db", into: &settings.db, ValueText.path)
        read("allow-anonymous", into: &settings.allowsAnonymous, ValueText.boolean)
        read("default-topic", into: &settings.defaultTopic) { text throws(ApusError) in try ValueText.topic(text) }
        read("event-loops", into: &settings.eventLoops) { text throws(ApusError) in
            try ValueText.number(text, unit: "threads", SettingsOption.range("event-loops"))
        }
        read("migrate", into: &settings.migrates, ValueText.boolean)
        read("users", into: &settings.users) { text throws(ApusError) in try ValueText.path(text) }
        read("log.level", into: &settings.logLevel) { text throws(ApusError) in
            try ValueText.choice(text, Logger.Level.self)
        }
        read("log.format", into: &settings.logFormat) { text throws(ApusError) in
            try ValueText.choice(text, LogFormat.self)
        }
        read("http.address", into: &settings.http.address) { text throws(ApusError) in
            let address = try BindAddress(text, defaultPort: DefaultPort.http, scheme: "http")
            guard case .tcp = address else {
                throw ApusError(.usage, "the HTTP door listens on HOST:PORT, not on a Unix socket")
            }
            return address
        }
        read("http.anonymous-metrics", into: &settings.http.anonymousMetrics, ValueText.boolean)
        readLimits(&settings)
        readListeners(&settings)
        return settings
    }

    /// Reads one option from every layer that has it.
    mutating func read<T>(
        _ key: String, into setting: inout Setting<T>, _ parse: (String) throws(ApusError) -> T
    ) {
        for raw in [file.values[key], environment[key], flags.values[key]] {
            guard let raw else { continue }
            do throws(ApusError) {
                setting = Setting(try parse(try text(raw, key)), raw.origin)
            } catch {
                problems.add(raw.origin, key, error)
            }
        }
    }

    /// - Throws: `usage`, where YAML has another type there.
    private func text(_ raw: RawValue, _ key: String) throws(ApusError) -> String {
        guard case .scalar(let text, let isQuoted) = raw.content else {
            throw ApusError(.usage, "is a list")
        }
        guard case .file = raw.origin, let kind = SettingsOption.named(key)?.kind else { return text }
        switch kind {
        case .boolean where isQuoted && (text == "true" || text == "false"):
            throw ApusError(.usage, "is text; write \(text) without quotation marks")
        case .text where !isQuoted && SettingsBuilder.isOtherType(text), .address where !isQuoted && Int(text) != nil:
            throw ApusError(.usage, "is \(text.shown), it is text; if that is meant, put it in quotation marks")
        default: return text
        }
    }

    /// Whether YAML reads it as a number or a truth value.
    private static func isOtherType(_ text: String) -> Bool {
        ["true", "false", "True", "False", "TRUE", "FALSE"].contains(text)
            || (Double(text) != nil && text.first?.isLetter != true)
    }

    private mutating func readLimits(_ settings: inout Settings) {
        for row in Limits.table {
            let key = "limits.\(row.name)"
            var setting = Setting(row.value(in: settings.limits))
            read(key, into: &setting) { text throws(ApusError) in
                try ValueText.number(text, unit: row.unit, row.range)
            }
            guard setting.origin != .standard else { continue }
            do throws(ApusError) {
                try row.set(setting.value, in: &settings.limits)
                settings.limitOrigins[row.name] = setting.origin
            } catch {
                problems.add(setting.origin, key, error)
            }
        }
    }

    // MARK: Listeners

    private mutating func readListeners(_ settings: inout Settings) {
        var listeners: [ListenerSettings]?
        if let places = file.listeners {
            listeners = places.indices.map { listener($0, places[$0]) }
        }
        for raw in [environment["listeners[].address"].map { [$0] }, flags.listeners] {
            // A layer above has its own list; it knows addresses only, and has the rest from the options for all.
            guard let raw, !raw.isEmpty else { continue }
            listeners = addresses(raw).map { ListenerSettings(address: $0) }
        }
        settings.listeners = (listeners ?? settings.listeners).map { listener in
            var listener = listener
            if listener.allowsAnonymous.origin == .standard { listener.allowsAnonymous = settings.allowsAnonymous }
            if listener.defaultTopic.origin == .standard { listener.defaultTopic = settings.defaultTopic }
            return listener
        }
    }

    /// Of `APUS_LISTEN`, or of each `--listen`: addresses, with commas between them.
    private mutating func addresses(_ raw: [RawValue]) -> [Setting<BindAddress>] {
        var addresses: [Setting<BindAddress>] = []
        for raw in raw {
            guard case .scalar(let text, _) = raw.content else { continue }
            for part in text.split(separator: ",", omittingEmptySubsequences: false) {
                let part = part.trimmed
                do throws(ApusError) {
                    let address = try BindAddress(part, defaultPort: DefaultPort.native)
                    addresses.append(Setting(address, raw.origin))
                } catch {
                    problems.add(raw.origin, "listeners", error)
                }
            }
        }
        return addresses
    }

    private mutating func listener(_ index: Int, _ place: Origin) -> ListenerSettings {
        let prefix = "listeners[\(index)]"
        let tls = tls(prefix)
        let hasTLS = file.sections["\(prefix).tls"] != nil
        var address = Setting<BindAddress?>(nil)
        read("\(prefix).address", into: &address) { text throws(ApusError) in
            try BindAddress(text, defaultPort: hasTLS ? DefaultPort.nativeTLS : DefaultPort.native)
        }
        // Where it is there and wrong, that is told already.
        if !file.said.contains("\(prefix).address") {
            problems.add(place, "\(prefix).address", "is missing: each listener has an address")
        }
        // Without an address it stays in the list all the same, so that the others keep their numbers.
        var listener = ListenerSettings(
            address: Setting(address.value ?? .tcp(host: "127.0.0.1", port: 0), address.origin))
        listener.tls = tls
        read("\(prefix).allow-anonymous", into: &listener.allowsAnonymous, ValueText.boolean)
        read("\(prefix).default-topic", into: &listener.defaultTopic) { text throws(ApusError) in
            try ValueText.topic(text)
        }
        listener.allow = networks("\(prefix).allow")
        listener.deny = networks("\(prefix).deny")
        for limit in ListenerLimit.allCases {
            var setting = Setting(0)
            read("\(prefix).\(limit.rawValue)", into: &setting) { text throws(ApusError) in
                try ValueText.number(text, unit: limit.unit, limit.range)
            }
            if setting.origin != .standard { listener.limits[limit] = setting }
        }
        return listener
    }

    private mutating func tls(_ prefix: String) -> TLSSettings? {
        let section = "\(prefix).tls"
        guard let place = file.sections[section] else { return nil }
        var certificate = Setting("")
        var key = Setting("")
        var clientCA = Setting<String?>(nil)
        var clientCertificates = Setting(ClientCertificates.none)
        read("\(section).certificate", into: &certificate, ValueText.path)
        read("\(section).key", into: &key, ValueText.path)
        read("\(section).client-ca", into: &clientCA) { text throws(ApusError) in try ValueText.path(text) }
        read("\(section).client-certificates", into: &clientCertificates) { text throws(ApusError) in
            try ValueText.choice(text, ClientCertificates.self)
        }
        for name in ["certificate", "key"] where !file.said.contains("\(section).\(name)") {
            problems.add(place, "\(section).\(name)", "is missing: TLS takes a certificate and its key")
        }
        return TLSSettings(
            certificate: certificate, key: key, clientCA: clientCA, clientCertificates: clientCertificates)
    }

    private mutating func networks(_ key: String) -> Setting<[Network]> {
        guard let raw = file.values[key], case .list(let items) = raw.content else { return Setting([]) }
        var networks: [Network] = []
        for item in items {
            do throws(ApusError) {
                let network = try Network(item.text)
                if networks.contains(network) {
                    problems.add(item.origin, key, "\(network) stands in the list already")
                }
                networks.append(network)
            } catch {
                problems.add(item.origin, key, error)
            }
        }
        return Setting(networks, raw.origin)
    }
}

extension SettingsOption {
    static func range(_ key: String) -> ClosedRange<Int> {
        if case .number(_, let range)? = SettingsOption.named(key)?.kind { range } else { 0...Int.max }
    }
}

extension Substring {
    /// Without spaces around it.
    fileprivate var trimmed: String {
        let isSpace: (Character) -> Bool = { $0 == " " || $0 == "\t" }
        var text = drop(while: isSpace)
        while let last = text.last, isSpace(last) { text.removeLast() }
        return String(text)
    }
}
