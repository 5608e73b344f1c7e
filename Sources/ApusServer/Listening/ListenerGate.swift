// Station 0, admission by listener. Runs on the event loop of an accepted connection, once, before anything is read.

internal import ApusModel
internal import NIOConcurrencyHelpers
internal import NIOCore

/// Who may come in through one listener: networks, connections in all and by address. Shared by its sockets.
final class ListenerGate: Sendable {
    enum Verdict: Hashable, Sendable {
        /// ``left(_:)`` belongs to it.
        case admitted
        /// By the networks: closed without a word.
        case denied
        case busy(ApusError)
    }

    private struct State {
        var open = 0
        var peers: PeerTable
    }

    private let allow: [Network]
    private let deny: [Network]
    private let openMax: Int
    private let openPerAddressMax: Int
    private let rate: Int
    /// What peers of this machine have above the others; 0: they are like all others.
    private let reserve: Int
    private let state: NIOLockedValueBox<State>

    init(_ listener: ListenerConfiguration, limits: Limits, now: NIODeadline) {
        allow = listener.allow
        deny = listener.deny
        openMax = listener.connectionsMax ?? limits.connectionsMax
        openPerAddressMax = listener.connectionsPerAddressMax ?? limits.connectionsPerAddressMax
        rate = listener.connectRate ?? limits.connectRate
        reserve = limits.loopbackReserve
        state = NIOLockedValueBox(
            State(peers: PeerTable(openMax: openPerAddressMax, rate: rate, now: now)))
    }

    var open: Int { state.withLockedValue { $0.open } }

    /// Whether a peer has what is kept for this machine.
    private func isPrivileged(_ address: IPAddress?) -> Bool { reserve > 0 && address?.isLoopback ?? true }

    /// Whether a peer is counted by its address. A Unix socket has none, and loopback is everybody's.
    private func isCounted(_ address: IPAddress?) -> Bool { address != nil && !isPrivileged(address) }

    /// - Parameters:
    ///   - address: nil for a Unix socket.
    ///   - isReserveTouched: whether the broker has no more connections than those kept for this machine.
    func admit(_ address: IPAddress?, isReserveTouched: Bool, now: NIODeadline) -> Verdict {
        if let address {
            if deny.contains(where: { $0.contains(address) }) { return .denied }
            if !allow.isEmpty, !allow.contains(where: { $0.contains(address) }) { return .denied }
        }
        let isPrivileged = isPrivileged(address)
        if isReserveTouched, !isPrivileged {
            return busy("the broker has as many connections as it may (max-connections)")
        }
        return state.withLockedValue { state in
            guard state.open < openMax + (isPrivileged ? reserve : 0) else {
                return busy("this listener has \(openMax) connections, its max-connections")
            }
            if let address, isCounted(address) {
                switch state.peers.enter(address, now: now) {
                case .tooMany:
                    return busy("your address has \(openPerAddressMax) connections (max-connections-per-address)")
                case .tooFast:
                    return busy("your address makes more than \(rate) connections a second (connect-rate)")
                case nil: break
                }
            }
            state.open += 1
            return .admitted
        }
    }

    func left(_ address: IPAddress?) {
        state.withLockedValue { state in
            state.open -= 1
            if let address, isCounted(address) { state.peers.leave(address) }
        }
    }

    private func busy(_ what: String) -> Verdict {
        .busy(.fatal(.busy, what, hint: "Connect again later, or with fewer connections at a time."))
    }
}
