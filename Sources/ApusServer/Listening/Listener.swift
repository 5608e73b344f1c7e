internal import ApusBroker
internal import ApusModel
internal import Logging
internal import NIOCore

/// A listener at work: its configuration, who may come in, and its certificates. Shared by all its sockets.
final class Listener: Sendable {
    let configuration: ListenerConfiguration
    let gate: ListenerGate
    /// nil: no TLS.
    let identity: TLSIdentity?
    private let denied = OnceAMinute()
    private let busy = OnceAMinute()
    private let handshakes = OnceAMinute()
    private let gauges: Gauges
    private let logger: Logger

    /// - Throws: `usage` and `tls-failed`, see ``ListenerConfiguration/check()`` and ``TLSConfigurationFiles``.
    init(
        _ configuration: ListenerConfiguration, limits: Limits, gauges: Gauges, logger: Logger
    ) throws(ApusError) {
        try configuration.check()
        if let tls = configuration.tls { identity = try TLSIdentity(tls, logger) } else { identity = nil }
        gate = ListenerGate(configuration, limits: limits, now: .now())
        self.configuration = configuration
        self.gauges = gauges
        self.logger = logger
    }

    // MARK: What is said: each at info, one a minute at its level, with how many there were since the last

    func denied(_ peer: String) {
        gauges.connection(.denied)
        say(.notice, "a connection was refused: its network may not connect", peer, denied)
    }

    func busy(_ peer: String, _ error: ApusError) {
        gauges.connection(.busy)
        say(.warning, "a connection was refused: \(error.message)", peer, busy)
    }

    func handshakeFailed(_ peer: String, _ reason: String) {
        gauges.connection(.failedTLS)
        say(.notice, "a TLS handshake failed: \(reason)", peer, handshakes)
    }

    private func say(_ level: Logger.Level, _ what: Logger.Message, _ peer: String, _ once: OnceAMinute) {
        let times = once.happened(now: .now())
        var metadata: Logger.Metadata = ["listener": "\(configuration.address)", "peer": "\(peer)"]
        if let times, times > 1 { metadata["times"] = "\(times)" }
        logger.log(level: times == nil ? .info : level, what, metadata: metadata)
    }
}
