package import ApusModel
internal import NIOConcurrencyHelpers
package import NIOCore

/// Whether the broker can take messages, and if not, why. Changed where something happens, a few times in its life; any
/// thread looks.
package final class BrokerHealth: Sendable {
    package enum Phase: Hashable, Sendable {
        case starting, serving, stopping
        /// The log cannot be trusted any more.
        case failed(ApusError)
    }

    /// Why the broker should not be sent to.
    package struct Reason: Hashable, Sendable {
        /// Stable, for programs: `starting`, `stopping`, `log-failed`, or the code of a refusal, as `storage-full`.
        package let code: String
        /// For people. Says nothing that only those should know who may log in: no path, no address.
        package let message: String

        package init(code: String, message: String) {
            self.code = code
            self.message = message
        }
    }

    private struct State {
        var phase = Phase.starting
        var refusal: (error: ApusError, at: NIODeadline)?
    }

    /// A refusal is news for so long: where nobody publishes because the broker says that it is not ready, nothing but
    /// time can show that it is again.
    package static let refusalTime = TimeAmount.seconds(30)

    private let state = NIOLockedValueBox(State())

    package init() {}

    package func serves() { enter(.serving) }
    package func stops() { enter(.stopping) }
    package func failed(_ error: ApusError) { enter(.failed(error)) }

    /// A failure is the last word, stopping the one before it.
    private func enter(_ phase: Phase) {
        state.withLockedValue { state in
            switch (state.phase, phase) {
            case (.failed, _), (.stopping, .serving), (.stopping, .starting): break
            default: state.phase = phase
            }
        }
    }

    /// The log refused everything in a commit, for a reason that may pass.
    package func refuses(_ error: ApusError, now: NIODeadline) {
        state.withLockedValue { $0.refusal = (error, now) }
    }

    package func records() { state.withLockedValue { $0.refusal = nil } }

    /// Empty where the broker is ready.
    package func reasons(now: NIODeadline) -> [Reason] {
        let (phase, refusal) = state.withLockedValue { ($0.phase, $0.refusal) }
        var reasons: [Reason] = []
        switch phase {
        case .serving: break
        case .starting: reasons.append(Reason(code: "starting", message: "the broker is starting"))
        case .stopping: reasons.append(Reason(code: "stopping", message: "the broker is stopping"))
        case .failed(let error):
            reasons.append(Reason(code: "log-failed", message: "the log failed (\(error.code.rawValue))"))
        }
        if let refusal, now - refusal.at < BrokerHealth.refusalTime {
            let code = refusal.error.code.rawValue
            reasons.append(Reason(code: code, message: "publishes were refused lately (\(code))"))
        }
        return reasons
    }
}
