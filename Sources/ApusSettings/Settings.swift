package import ApusModel
package import Logging

/// Everything that an operator decides: one value, each part with where it came from.
package struct Settings: Hashable, Sendable {
    /// The file that was read; nil where none was named.
    package var file: String?
    package var db = Setting("apus.db")
    package var listeners = Settings.standardListeners
    package var http = HTTPSettings()
    /// nil: no users.
    package var users = Setting<String?>(nil)
    package var allowsAnonymous = Setting(false)
    /// nil: a publish without a topic is refused.
    package var defaultTopic = Setting<Topic?>(nil)
    /// nil: one per two cores.
    package var eventLoops = Setting<Int?>(nil)
    package var logLevel = Setting(Logger.Level.notice)
    package var logFormat = Setting(LogFormat.text)
    package var migrates = Setting(true)
    package var limits = Limits.defaults
    /// By the limit's name; a limit that is not there has its default.
    package var limitOrigins: [String: Origin] = [:]

    package init() {}

    private static let standardListeners = ["127.0.0.1", "::1"].map { host in
        ListenerSettings(address: Setting(.tcp(host: host, port: DefaultPort.native)))
    }

    /// When one of them changes, everything is read again: the configuration, and what it names that can change while
    /// the broker runs.
    package var watchedFiles: [String] {
        var files: [String] = []
        let named = [file, users.value].compactMap { $0 } + listeners.flatMap { $0.tls?.files ?? [] }
        for name in named where !files.contains(name) { files.append(name) }
        return files
    }

    package func limitOrigin(_ name: String) -> Origin { limitOrigins[name] ?? .standard }
}

/// The HTTP door.
package struct HTTPSettings: Hashable, Sendable {
    /// nil: there is none.
    package var address = Setting<BindAddress?>(nil)
    package var anonymousMetrics = Setting(false)
}

/// One listener. What it leaves out, it has from the options for all listeners.
package struct ListenerSettings: Hashable, Sendable {
    package var address: Setting<BindAddress>
    /// nil: no TLS.
    package var tls: TLSSettings?
    /// Empty: everybody who is not denied.
    package var allow = Setting<[Network]>([])
    package var deny = Setting<[Network]>([])
    package var allowsAnonymous = Setting(false)
    package var defaultTopic = Setting<Topic?>(nil)
    /// Those that differ from the ones for all listeners.
    package var limits: [ListenerLimit: Setting<Int>] = [:]

    package init(address: Setting<BindAddress>) { self.address = address }
}

/// TLS of one listener: names of files, which are read when it listens, and at each reload.
package struct TLSSettings: Hashable, Sendable {
    package var certificate: Setting<String>
    package var key: Setting<String>
    package var clientCA: Setting<String?>
    package var clientCertificates: Setting<ClientCertificates>

    package var files: [String] { [certificate.value, key.value] + (clientCA.value.map { [$0] } ?? []) }
}
