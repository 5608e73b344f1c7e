internal import ApusModel

/// What is right by itself and wrong together.
enum Contradictions {
    static func find(_ settings: Settings, _ problems: inout ProblemList) {
        for (index, listener) in settings.listeners.enumerated() {
            check(listener, "listeners[\(index)]", settings, &problems)
        }
        checkAddresses(settings, &problems)
        checkHTTP(settings, &problems)
        checkLimits(settings, &problems)
    }

    private static func check(
        _ listener: ListenerSettings, _ prefix: String, _ settings: Settings, _ problems: inout ProblemList
    ) {
        let address = listener.address
        if let tls = listener.tls {
            checkTLS(tls, "\(prefix).tls", &problems)
            if case .unix = address.value {
                problems.add(address.origin, "\(prefix).tls", "a Unix socket never leaves the machine: it has no TLS")
            }
        }
        let denied = Set(listener.deny.value)
        for network in listener.allow.value where denied.contains(network) {
            problems.add(listener.deny.origin, "\(prefix).deny", "\(network) stands in allow, too")
        }
        if case .unix = address.value {
            for (name, networks) in [("allow", listener.allow), ("deny", listener.deny)] where !networks.value.isEmpty {
                problems.add(
                    networks.origin, "\(prefix).\(name)", "a Unix socket has no networks: its file has permissions")
            }
            for limit in [ListenerLimit.connectionsPerAddress, .connectRate] {
                guard let setting = listener.limits[limit] else { continue }
                problems.add(
                    setting.origin, "\(prefix).\(limit.rawValue)", "who connects to a Unix socket has no address")
            }
        }
        if let limit = listener.limits[.connections], limit.value > settings.limits.connectionsMax {
            problems.add(
                limit.origin, "\(prefix).max-connections",
                "is \(limit.value), and all together have \(settings.limits.connectionsMax) (limits.max-connections)"
            )
        }
        if let each = listener.limits[.connectionsPerAddress], let all = listener.limits[.connections],
            each.value > all.value
        {
            problems.add(
                each.origin, "\(prefix).max-connections-per-address",
                "is \(each.value), and the whole listener has \(all.value) (max-connections)")
        }
        if address.value.reach == .otherMachines, !isAuthenticated(listener, settings) {
            problems.add(address.origin, "\(prefix).address", anonymous(address.value), code: .notAllowed)
        }
    }

    /// Whether who connects has shown who it is, or need not.
    private static func isAuthenticated(_ listener: ListenerSettings, _ settings: Settings) -> Bool {
        settings.users.value != nil || listener.allowsAnonymous.value
            || listener.tls?.clientCertificates.value == .require
    }

    private static func anonymous(_ address: BindAddress) -> String {
        "other machines can reach \(address), and there is no authentication. Listen on 127.0.0.1 or [::1], name "
            + "a file of users (users, --users), or say allow-anonymous: true (--allow-anonymous) if "
            + "everybody may publish and read"
    }

    private static func checkTLS(_ tls: TLSSettings, _ section: String, _ problems: inout ProblemList) {
        let asks = tls.clientCertificates.value != .none
        if asks, tls.clientCA.value == nil {
            problems.add(
                tls.clientCertificates.origin, "\(section).client-certificates",
                "is \(tls.clientCertificates.value.rawValue), and client-ca is missing: who may have signed them?")
        }
        if !asks, tls.clientCA.value != nil {
            problems.add(
                tls.clientCA.origin, "\(section).client-ca",
                "is not used: client-certificates is none, so nobody is asked for a certificate. "
                    + "Write request or require"
            )
        }
    }

    private static func checkAddresses(_ settings: Settings, _ problems: inout ProblemList) {
        let listeners = settings.listeners
        for (index, listener) in listeners.enumerated() {
            guard
                let earlier = listeners[..<index].firstIndex(where: {
                    $0.address.value.collides(with: listener.address.value)
                })
            else { continue }
            let other = listeners[earlier].address.value
            problems.add(
                listener.address.origin, "listeners[\(index)].address",
                other == listener.address.value
                    ? "\(other) is listened on already (listeners[\(earlier)])"
                    : "\(listener.address.value) takes the same port as \(other) (listeners[\(earlier)])")
        }
    }

    private static func checkHTTP(_ settings: Settings, _ problems: inout ProblemList) {
        guard let address = settings.http.address.value else { return }
        let origin = settings.http.address.origin
        if let index = settings.listeners.firstIndex(where: { $0.address.value.collides(with: address) }) {
            problems.add(
                origin, "http.address",
                "\(address) takes the same port as listeners[\(index)] (\(settings.listeners[index].address.value))")
        }
        if address.reach == .otherMachines, settings.users.value == nil, !settings.allowsAnonymous.value,
            !settings.http.anonymousMetrics.value
        {
            problems.add(origin, "http.address", anonymous(address), code: .notAllowed)
        }
    }

    /// Limits of which one makes the other pointless.
    private static func checkLimits(_ settings: Settings, _ problems: inout ProblemList) {
        let ordered = [
            ("wal-checkpoint", "wal-pause"), ("wal-pause", "wal-limit"), ("max-message-bytes", "receive-bytes"),
        ]
        for (small, large) in ordered {
            guard let a = Limits.table.first(where: { $0.name == small }),
                let b = Limits.table.first(where: { $0.name == large }),
                a.value(in: settings.limits) > b.value(in: settings.limits)
            else { continue }
            let origin =
                settings.limitOrigin(large) == .standard ? settings.limitOrigin(small) : settings.limitOrigin(large)
            problems.add(
                origin, "limits.\(large)",
                "\(large) is \(b.value(in: settings.limits)), less than \(small) (\(a.value(in: settings.limits)))")
        }
    }
}
