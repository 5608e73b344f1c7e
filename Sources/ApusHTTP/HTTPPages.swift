package import ApusBroker
internal import ApusModel
internal import HTTPTypes

/// What there is to see, and who may see it. Decides; knows nothing of sockets.
package struct HTTPPages: Sendable {
    /// Everything that the metrics page shows. Called only for who may see it.
    package var metrics: @Sendable () async -> [MetricFamily]
    /// Why the broker should not be sent to; empty where it is ready.
    package var reasonsNotReady: @Sendable () -> [BrokerHealth.Reason]
    /// Whether the broker's threads take their turns.
    package var isAlive: @Sendable () async -> Bool
    /// Whether metrics may be seen: by whom, from which address. Called for each request to them.
    package var authorize: @Sendable (HTTPCredentials, _ peerAddress: String) async -> HTTPAccess
    package var version: String

    package init(
        version: String, metrics: @escaping @Sendable () async -> [MetricFamily],
        reasonsNotReady: @escaping @Sendable () -> [BrokerHealth.Reason],
        isAlive: @escaping @Sendable () async -> Bool = { true },
        authorize: @escaping @Sendable (HTTPCredentials, _ peerAddress: String) async -> HTTPAccess = { _, _ in
            .granted
        }
    ) {
        self.version = version
        self.metrics = metrics
        self.reasonsNotReady = reasonsNotReady
        self.isAlive = isAlive
        self.authorize = authorize
    }

    func reply(_ method: HTTPRequest.Method, path: String, authorization: String?, peerAddress: String = "") async
        -> HTTPReply
    {
        guard let page = pages[path] else {
            return .problem(.notFound, code: "not-found", "there is no \(path)", hint: "GET / lists what there is.")
        }
        guard method == .get || method == .head else {
            var reply = HTTPReply.problem(
                .methodNotAllowed, code: "method-not-allowed", "\(path) is only read: \(method.rawValue) does nothing")
            reply.allow = "GET, HEAD"
            return reply
        }
        return await page(Visitor(authorization: authorization, address: peerAddress))
    }

    private struct Visitor: Sendable {
        let authorization: String?
        let address: String
    }

    private var pages: [String: @Sendable (Visitor) async -> HTTPReply] {
        [
            "/": { _ in .text(index) },
            "/healthz": { _ in await health() },
            "/readyz": { _ in readiness() },
            "/metrics": { await metrics(for: $0) },
        ]
    }

    private var index: String {
        """
        Apus \(version)

        /healthz   200 while the process and its event loops run
        /readyz    200 when the broker takes messages, 503 and the reasons when it does not
        /metrics   figures in Prometheus' text format

        """
    }

    private func health() async -> HTTPReply {
        guard await isAlive() else {
            return .problem(
                .serviceUnavailable, code: "stuck", "an event loop of the broker takes no turns",
                hint: "Restart the broker; what was acknowledged is in the log.")
        }
        return .json(.ok, .object([JSON.Member("alive", .bool(true))]))
    }

    private func readiness() -> HTTPReply {
        let reasons = reasonsNotReady()
        let list = reasons.map {
            JSON.object([JSON.Member("code", .string($0.code)), JSON.Member("message", .string($0.message))])
        }
        return .json(
            reasons.isEmpty ? .ok : .serviceUnavailable,
            .object([JSON.Member("ready", .bool(reasons.isEmpty)), JSON.Member("reasons", .array(list))]))
    }

    private func metrics(for visitor: Visitor) async -> HTTPReply {
        let credentials = HTTPCredentials(authorization: visitor.authorization)
        switch await authorize(credentials, visitor.address) {
        case .granted:
            return HTTPReply(
                status: .ok, contentType: PrometheusText.contentType, body: PrometheusText.write(await metrics()))
        case .unknown:
            var reply = HTTPReply.problem(
                .unauthorized, code: "not-allowed", HTTPPages.reason(credentials),
                hint: "Basic with user and password, or Bearer with a token.")
            reply.challenge = "Basic realm=\"apus\", charset=\"UTF-8\", Bearer realm=\"apus\""
            return reply
        case .refused:
            return .problem(.forbidden, code: "not-allowed", "this user lacks the right admin")
        }
    }

    /// Why it is nobody that is known.
    private static func reason(_ credentials: HTTPCredentials) -> String {
        switch credentials {
        case .none: "the metrics need a login with the right admin"
        case .unreadable: "the Authorization of the request cannot be read"
        case .password, .token: "user, password or token is wrong"
        }
    }
}
