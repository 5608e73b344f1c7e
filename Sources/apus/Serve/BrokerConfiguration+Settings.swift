internal import ApusBroker
internal import ApusModel
internal import ApusSecurity
internal import ApusServer
internal import ApusSettings
internal import Logging

// The one place where settings become what the broker takes.

extension Broker.Configuration {
    init(_ settings: Settings, access: any AccessControl, logger: Logger) throws(SettingsFailure) {
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
        listeners = []
        for (index, listener) in settings.listeners.enumerated() {
            do throws(ApusError) {
                let configuration = ListenerConfiguration(listener)
                try configuration.check()
                listeners.append(configuration)
            } catch {
                problems.append(Problem(listener.address.origin, "listeners[\(index)]", error.message))
            }
        }
        guard problems.isEmpty else { throw SettingsFailure(problems) }
    }
}

extension Broker.Configuration {
    /// Reads the certificates and keys that the listeners name, as listening would.
    ///
    /// - Returns: what is doubtful about them; listening says it, too.
    func testCertificates(_ settings: Settings) throws(SettingsFailure) -> [TLSConfigurationFiles.Warning] {
        var warnings: [TLSConfigurationFiles.Warning] = []
        var problems: [Problem] = []
        for (index, listener) in listeners.enumerated() {
            do throws(ApusError) {
                warnings += try listener.tls?.test() ?? []
            } catch {
                let origin = settings.listeners[index].tls?.certificate.origin ?? .standard
                problems.append(Problem(origin, "listeners[\(index)].tls", error.messageAndHint))
            }
        }
        guard problems.isEmpty else { throw SettingsFailure(problems) }
        return warnings
    }
}

extension ListenerConfiguration {
    init(_ settings: ListenerSettings) {
        self.init(
            settings.address.value, tls: settings.tls.map(TLSConfigurationFiles.init),
            allowsAnonymous: settings.allowsAnonymous.value)
        allow = settings.allow.value
        deny = settings.deny.value
        connectionsMax = settings.limits[.connections]?.value
        connectionsPerAddressMax = settings.limits[.connectionsPerAddress]?.value
        connectRate = settings.limits[.connectRate]?.value
        idleSeconds = settings.limits[.idleTime]?.value
        helloSeconds = settings.limits[.helloTime]?.value
        defaultTopic = settings.defaultTopic.value
        isDefault = settings.address.origin == .standard
    }
}

extension TLSConfigurationFiles {
    init(_ settings: TLSSettings) {
        self.init(
            certificate: settings.certificate.value, key: settings.key.value, clientCA: settings.clientCA.value,
            clientCertificates: ClientCertificates(settings.clientCertificates.value))
    }
}

extension TLSConfigurationFiles.ClientCertificates {
    init(_ setting: ApusSettings.ClientCertificates) {
        self =
            switch setting {
            case .none: .none
            case .request: .request
            case .require: .require
            }
    }
}

extension Settings {
    /// Who may come in, as the users file says.
    func access() throws(SettingsFailure) -> any AccessControl {
        guard let path = users.value else { return OpenAccess() }
        do throws(ApusError) {
            return try FileAccessControl(path: path)
        } catch {
            let code: ApusError.Code = error.code == .notAllowed ? .notAllowed : .usage
            throw SettingsFailure([Problem(users.origin, "users", error.messageAndHint, code: code)])
        }
    }
}
