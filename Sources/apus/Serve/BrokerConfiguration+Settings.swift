internal import ApusBroker
internal import ApusModel
internal import ApusSecurity
internal import ApusServer
internal import ApusSettings
internal import Logging

// The one place where settings become what the broker takes.

extension Broker.Configuration {
    /// - Throws: what the broker cannot do yet is no fault of the settings, and is refused all the same: nobody should
    ///   believe to have what is not there.
    init(_ settings: Settings, access: any AccessControl, logger: Logger) throws(SettingsFailure) {
        let missing = settings.notSupported
        guard missing.isEmpty else { throw SettingsFailure(missing) }
        self.init()
        limits = settings.limits
        if let eventLoops = settings.eventLoops.value { self.eventLoops = eventLoops }
        defaultTopic = settings.defaultTopic.value
        self.access = access
        version = Apus.versionNumber
        self.logger = logger
        try takeListeners(settings)
    }

    private mutating func takeListeners(_ settings: Settings) throws(SettingsFailure) {
        var problems: [Problem] = []
        listen = []
        for listener in settings.listeners {
            do throws(ApusError) {
                listen.append(try ListenAddress(listener.address.value.description))
            } catch {
                problems.append(Problem(listener.address.origin, "listeners", error.message))
            }
        }
        guard problems.isEmpty else { throw SettingsFailure(problems) }
        // The broker has one answer for all: a listener that says no for itself is one that nobody else reaches, or is
        // refused by ``Settings/notSupported``.
        allowsAnonymous = settings.listeners.contains { $0.allowsAnonymous.value }
    }
}

extension Settings {
    /// Who may come in, as the users file says.
    func access() throws(SettingsFailure) -> any AccessControl {
        guard let path = users.value else { return OpenAccess() }
        do throws(ApusError) {
            return try FileAccessControl(path: path)
        } catch {
            let message = error.hint.map { "\(error.message). \($0)" } ?? error.message
            throw SettingsFailure([Problem(users.origin, "users", message)])
        }
    }

    /// What is set, and what the broker cannot do yet.
    var notSupported: [Problem] {
        var problems: [Problem] = []
        func refuse(_ origin: Origin, _ key: String) {
            problems.append(Problem(origin, key, "is not supported yet", code: .notSupported))
        }
        if http.address.value != nil { refuse(http.address.origin, "http.address") }
        if !migrates.value { refuse(migrates.origin, "migrate") }
        for (index, listener) in listeners.enumerated() {
            for (origin, name) in listener.notSupported(settings: self) {
                refuse(origin, "listeners[\(index)]\(name)")
            }
        }
        return problems
    }
}

extension ListenerSettings {
    fileprivate func notSupported(settings: Settings) -> [(Origin, String)] {
        var refused: [(Origin, String)] = []
        if case .unix = address.value { refused.append((address.origin, ".address")) }
        if let tls { refused.append((tls.certificate.origin, ".tls")) }
        if !allow.value.isEmpty { refused.append((allow.origin, ".allow")) }
        if !deny.value.isEmpty { refused.append((deny.origin, ".deny")) }
        if defaultTopic.value != settings.defaultTopic.value { refused.append((defaultTopic.origin, ".default-topic")) }
        // One that others may reach and that forbids it, beside one that allows it.
        let isOneForAll = settings.listeners.allSatisfy { $0.allowsAnonymous.value == allowsAnonymous.value }
        if !isOneForAll, !allowsAnonymous.value, address.value.reach != .thisMachine {
            refused.append((allowsAnonymous.origin, ".allow-anonymous"))
        }
        for (limit, setting) in limits.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
            refused.append((setting.origin, ".\(limit.rawValue)"))
        }
        return refused
    }
}
