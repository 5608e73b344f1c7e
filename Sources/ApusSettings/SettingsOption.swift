package import ApusModel

/// One option of the broker: its names, its default, what it means. The one list: the file and the environment are read
/// by it, docs/CONFIGURATION.md and config/apus.yaml are compared with it.
package struct SettingsOption: Sendable {
    package enum Kind: Sendable {
        case text, boolean, address
        case choice([String])
        /// A list of networks.
        case networks
        /// With its unit.
        case number(unit: String, ClosedRange<Int>)
    }

    /// What follows from a change while the broker runs.
    package enum Change: String, Sendable {
        case reloaded = "at once"
        /// The file that it names is read again; another name needs a restart.
        case fileReloaded = "the file: at once"
        case restart = "restart"
    }

    /// With dots where the file indents; `listeners[]` stands for each listener.
    package let key: String
    package let kind: Kind
    /// As it stands in the file; for options without one, in words.
    package let standard: String
    package let meaning: String
    package let change: Change
    /// The flag of `apus serve`, where there is one.
    package let flag: String?
    /// The variable's name, where there is one.
    package let environment: String?

    /// The last part of the key.
    package var name: String { String(key.split(separator: ".").last ?? "") }

    fileprivate init(
        _ key: String, _ kind: Kind, _ standard: String, _ meaning: String, _ change: Change = .restart,
        flag: String? = nil, environment: String? = nil
    ) {
        self.key = key
        self.kind = kind
        self.standard = standard
        self.meaning = meaning
        self.change = change
        self.flag = flag
        let isListed = key.contains("[]")
        self.environment = environment ?? (isListed ? nil : EnvironmentName.of(key))
    }
}

extension SettingsOption {
    /// What stands for "none" in ``standard``.
    package static let none = "none"

    /// Log levels, from the most to the least talkative.
    package static let logLevels = ["trace", "debug", "info", "notice", "warning", "error", "critical"]

    package static let all: [SettingsOption] = general + listener + http + log + limits

    private static let general = [
        SettingsOption("db", .text, "apus.db", "The file that holds the log.", flag: "--db"),
        SettingsOption(
            "users", .text, none, "The file of users, their passwords and their rights. Without it there are none.",
            .fileReloaded, flag: "--users"),
        SettingsOption(
            "allow-anonymous", .boolean, "false",
            "Whether who does not log in is let in: with users by the rights of anonymous, without users to everything.",
            flag: "--allow-anonymous"),
        SettingsOption(
            "default-topic", .text, none, "Where a publish that names no topic goes. Without it, it is refused.",
            flag: "--default-topic"),
        SettingsOption(
            "event-loops", .number(unit: "threads", 1...1_024), "one per two cores", "Threads for connections.",
            flag: "--event-loops"),
        SettingsOption(
            "migrate", .boolean, "true",
            "Whether a log of an older version is brought up to date at opening. Where not, it is refused.",
            flag: "--no-migrate"),
    ]

    private static let listener =
        [
            SettingsOption(
                "listeners[].address", .address, "127.0.0.1:2787 and [::1]:2787",
                "HOST:PORT, or unix:/path/of/socket. Port 0 takes a free one, an empty host is all interfaces.",
                flag: "--listen", environment: "APUS_LISTEN"),
            SettingsOption(
                "listeners[].tls.certificate", .text, none, "The server's certificate with its chain, PEM.",
                .fileReloaded),
            SettingsOption("listeners[].tls.key", .text, none, "The certificate's private key, PEM.", .fileReloaded),
            SettingsOption(
                "listeners[].tls.client-ca", .text, none, "Who has signed the certificates of clients, PEM.",
                .fileReloaded),
            SettingsOption(
                "listeners[].tls.client-certificates", .choice(ClientCertificates.allCases.map(\.rawValue)), "none",
                "Whether clients show a certificate: none, request (they may), require (they must)."),
            SettingsOption(
                "listeners[].allow", .networks, "[]",
                "Networks (CIDR) that may connect. Empty: all that are not denied."
            ),
            SettingsOption("listeners[].deny", .networks, "[]", "Networks (CIDR) that may not connect."),
            SettingsOption(
                "listeners[].allow-anonymous", .boolean, "allow-anonymous",
                "Whether this listener lets in who does not log in."),
        ]
        + ListenerLimit.allCases.map { limit in
            SettingsOption(
                "listeners[].\(limit.rawValue)", .number(unit: limit.unit, limit.range),
                "limits.\(limit.rawValue)", limit.meaning)
        } + [
            SettingsOption(
                "listeners[].default-topic", .text, "default-topic",
                "Where a publish over this listener that names no topic goes.")
        ]

    private static let http = [
        SettingsOption(
            "http.address", .address, none, "HOST:PORT of the HTTP door. Without it there is none.",
            flag: "--http", environment: "APUS_HTTP"),
        SettingsOption(
            "http.anonymous-metrics", .boolean, "false",
            "Whether /metrics is answered without a login, though there are users.", flag: "--anonymous-metrics"),
    ]

    private static let log = [
        SettingsOption(
            "log.level", .choice(logLevels), "notice",
            "How much is logged: trace, debug, info, notice, warning, error, critical.",
            .reloaded, flag: "--log-level"),
        SettingsOption(
            "log.format", .choice(LogFormat.allCases.map(\.rawValue)), "text",
            "text for people, json for programs: an object a line.", .reloaded, flag: "--log-format"),
    ]

    private static let limits = Limits.table.map { row in
        SettingsOption(
            "limits.\(row.name)", .number(unit: row.unit, row.range), "\(row.value(in: .defaults))", row.meaning,
            flag: "--\(row.name)")
    }

    private static let byKey = Dictionary(all.map { ($0.key, $0) }) { first, _ in first }

    /// - Parameter key: as in ``key``, or with the number of a listener: `listeners[2].address`.
    package static func named(_ key: String) -> SettingsOption? { byKey[general(key)] }

    /// `listeners[2].address` is `listeners[].address`.
    package static func general(_ key: String) -> String {
        guard let open = key.firstIndex(of: "["), let close = key.firstIndex(of: "]") else { return key }
        return String(key[...open] + key[close...])
    }

    /// Whether there are options below `key`.
    static func isSection(_ key: String) -> Bool {
        let prefix = general(key) + "."
        return all.contains { $0.key.hasPrefix(prefix) }
    }

    /// The names that may stand in a section; "" is the whole file.
    static func names(in section: String) -> [String] {
        let prefix = section.isEmpty ? "" : general(section) + "."
        var names: [String] = []
        for option in all where option.key.hasPrefix(prefix) {
            let rest = option.key.dropFirst(prefix.count)
            let name = String(rest.prefix { $0 != "." && $0 != "[" })
            if !names.contains(name) { names.append(name) }
        }
        return names
    }
}

/// Whether clients show a certificate.
package enum ClientCertificates: String, CaseIterable, Hashable, Sendable {
    case none, request, require
}

/// How the log is written.
package enum LogFormat: String, CaseIterable, Hashable, Sendable {
    case text, json
}

/// A limit that each listener may have for itself. `limits` has the value for those that say nothing.
package enum ListenerLimit: String, CaseIterable, Hashable, Sendable {
    case connections = "max-connections"
    case connectionsPerAddress = "max-connections-per-address"
    case connectRate = "connect-rate"
    case idleTime = "idle-time"
    case helloTime = "hello-time"

    /// The one for all listeners.
    package var row: Limits.Row? { Limits.table.first { $0.name == rawValue } }

    package var unit: String { row?.unit ?? "" }
    package var range: ClosedRange<Int> { row?.range ?? 0...Int.max }

    package var meaning: String {
        switch self {
        case .connections: "Open connections of this listener."
        case .connectionsPerAddress: "Open connections of one address over this listener."
        case .connectRate: "New connections a second from one address."
        case .idleTime: "After so many seconds without a frame a connection is closed; 0 is never."
        case .helloTime: "Seconds for the TLS handshake and the first frame."
        }
    }
}

/// How an option is called in the environment.
package enum EnvironmentName {
    static let prefix = "APUS_"
    static let fileSuffix = "_FILE"
    /// Which configuration file.
    package static let configuration = "APUS_CONFIG"

    /// `limits.max-connections` is `APUS_LIMITS_MAX_CONNECTIONS`.
    static func of(_ key: String) -> String {
        prefix + key.uppercased().map { $0 == "." || $0 == "-" ? "_" : String($0) }.joined()
    }

    /// Of commands that talk to a broker, and of the project's scripts.
    static let others = [
        "APUS_SERVER", "APUS_USER", "APUS_PASSWORD", "APUS_TOKEN", "APUS_CLIENT_ID", "APUS_CA", "APUS_CERT", "APUS_KEY",
        "APUS_STRICT", "APUS_FUZZ",
    ]
}
