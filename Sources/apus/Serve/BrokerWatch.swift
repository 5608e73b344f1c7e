internal import ApusBroker
internal import ApusHTTP
internal import ApusModel
internal import ApusServer
internal import ApusSettings
internal import Foundation
internal import NIOConcurrencyHelpers

/// Who looks at the broker from outside: the HTTP door and the service manager. There before the broker is, so that a
/// start that takes its time can be seen, and gone after it.
final class BrokerWatch: Sendable {
    private struct State {
        var broker: Broker?
        var watchdog: Task<Void, Never>?
        /// What it does, in words.
        var status = ""
    }

    /// An event loop that takes no turn for so long is stuck.
    private static let aliveSeconds = 5.0

    private let state = NIOLockedValueBox(State())
    private let door = NIOLockedValueBox<HTTPDoor?>(nil)
    private let notify: SystemdNotify?

    private init(notify: SystemdNotify?) { self.notify = notify }

    /// The HTTP door as it is configured.
    struct HTTP: Sendable {
        var address: BindAddress
        /// Whether other machines may reach it although there are no users.
        var allowsAnonymous = false
        /// Whether the metrics are for everybody, although there are users.
        var showsMetricsToAnybody = false

        /// - Returns: nil where there is no HTTP door.
        init?(_ settings: Settings) {
            guard let address = settings.http.address.value else { return nil }
            self.address = address
            allowsAnonymous = settings.allowsAnonymous.value
            showsMetricsToAnybody = settings.http.anonymousMetrics.value
        }
    }

    /// - Parameter http: how to serve HTTP; nil for not at all.
    /// - Throws: `unavailable` or `not-allowed`, naming the address.
    static func start(
        http: HTTP?, _ configuration: Broker.Configuration, _ control: LogControl,
        environment: [String: String] = ProcessInfo.processInfo.environment
    ) async throws(ApusError) -> BrokerWatch {
        let watch = BrokerWatch(notify: SystemdNotify(environment: environment))
        guard let http else { return watch }
        let isClosed = !configuration.access.isOpen
        guard http.address.reach == .thisMachine || isClosed || http.allowsAnonymous || http.showsMetricsToAnybody
        else {
            throw ApusError(
                .notAllowed, "other machines can reach \(http.address), and there is no authentication",
                hint: "Serve HTTP on 127.0.0.1 or [::1], or say --allow-anonymous if everybody may see the figures.")
        }
        let door = try await HTTPDoor.start(
            HTTPDoor.Configuration(
                address: http.address, limits: configuration.limits, logger: configuration.logger),
            pages: watch.pages(http, version: configuration.version))
        watch.door.withLockedValue { $0 = door }
        control.announce("listening on \(door.url)")
        return watch
    }

    private func pages(_ http: HTTP, version: String) -> HTTPPages {
        HTTPPages(
            version: version,
            metrics: { [self] in await broker?.metricFamilies() ?? [] },
            reasonsNotReady: { [self] in
                broker?.reasonsNotReady
                    ?? [BrokerHealth.Reason(code: "starting", message: "the broker opens its log")]
            },
            isAlive: { [self] in await broker?.isAlive(withinSeconds: BrokerWatch.aliveSeconds) ?? true },
            authorize: { [self] credentials, address in
                // Without a broker there is nothing to see.
                guard !http.showsMetricsToAnybody, let broker else { return .granted }
                return await BrokerWatch.access(
                    broker, credentials, address, allowsAnonymous: http.allowsAnonymous)
            })
    }

    private static func access(
        _ broker: Broker, _ credentials: HTTPCredentials, _ address: String, allowsAnonymous: Bool
    ) async -> HTTPAccess {
        var said = Credentials(peerAddress: address)
        switch credentials {
        case .none: break
        case .unreadable: return .unknown
        case .token(let token): said = Credentials(token: token, peerAddress: address)
        case .password(let user, let password):
            said = Credentials(user: user, password: password, peerAddress: address)
        }
        return switch await broker.sight(for: said, allowsAnonymous: allowsAnonymous) {
        case .granted: .granted
        case .unknown: .unknown
        case .refused: .refused
        }
    }

    private var broker: Broker? { state.withLockedValue { $0.broker } }

    /// The log is open: from here on the broker's own figures are shown.
    func opened(_ broker: Broker) { state.withLockedValue { $0.broker = broker } }

    /// It listens.
    func serves(_ status: String) {
        state.withLockedValue { $0.status = status }
        notify?.ready(status)
        guard let notify, let microseconds = notify.watchdogMicroseconds, let broker else { return }
        let watchdog = Task {
            while !Task.isCancelled {
                if await broker.isAlive(withinSeconds: BrokerWatch.aliveSeconds) { notify.watchdog() }
                // Half of it, so that one that comes late is still in time.
                try? await Task.sleep(nanoseconds: min(microseconds, 3_600_000_000) / 2 * 1_000)
            }
        }
        state.withLockedValue { $0.watchdog = watchdog }
    }

    func stops() { notify?.stopping() }

    /// Settings are read again; ``reloaded()`` says when that is over.
    func reloads() { notify?.reloading() }
    func reloaded() { notify?.ready(state.withLockedValue { $0.status }) }

    func failed(_ error: ApusError) { notify?.status("failed: \(error.message)") }

    /// After the broker has ended.
    func end() async {
        state.withLockedValue { $0.watchdog }?.cancel()
        let door = door.withLockedValue { door in
            defer { door = nil }
            return door
        }
        await door?.stop()
    }
}
