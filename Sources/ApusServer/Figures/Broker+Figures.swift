package import ApusBroker
internal import ApusModel
internal import Dispatch
internal import NIOConcurrencyHelpers
internal import NIOCore

extension Broker {
    /// One thread for whoever watches: scrapes that come at once wait for each other, and none of them takes a turn
    /// from the event loops or from the threads that answer queries.
    private static let watching = DispatchQueue(label: "apus-figures")

    /// Every metric that is known now. Where the log cannot be read, its figures are left out.
    package func metricFamilies() async -> [MetricFamily] {
        let figures = figures
        let certificates = certificates
        return await withCheckedContinuation { continuation in
            Broker.watching.async { continuation.resume(returning: figures.families() + [certificates]) }
        }
    }

    private var certificates: MetricFamily {
        var ends: [String: Int] = [:]
        for listener in listening.withLockedValue({ $0.listeners }) {
            guard let end = listener.identity?.notAfter else { continue }
            // Several may be configured with port 0, and have one label.
            ends.merge(["\(listener.configuration.address)": end], uniquingKeysWith: min)
        }
        return MetricFamily(.certificates, by: "listener", ends.sorted { $0.key < $1.key })
    }

    /// Empty where the broker can be sent to.
    package var reasonsNotReady: [BrokerHealth.Reason] { metrics.health.reasons(now: .now()) }

    /// Whether every event loop takes its turns.
    ///
    /// - Parameter seconds: a loop that does not answer for so long counts as stuck.
    package func isAlive(withinSeconds seconds: Double) async -> Bool {
        let board = figures.board
        return await withCheckedContinuation { continuation in
            Broker.watching.async { continuation.resume(returning: board.isAlive(timeoutSeconds: seconds)) }
        }
    }
}
