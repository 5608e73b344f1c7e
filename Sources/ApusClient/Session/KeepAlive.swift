// Part of ``ClientSession``; time is a parameter.

internal import NIOCore

/// When to ping, and when the broker counts as dead.
///
/// A ping goes out when nothing was sent for half of the keep-alive, so that the broker hears something well in time.
/// It also goes out when nothing was heard for a whole one, however much was sent: else a publisher whose network
/// is cut would write into its socket's buffer and never ask. Dead is who stays silent for 1.5 keep-alives after a ping.
struct KeepAlive {
    enum Due {
        case ping
        case expired(seconds: Int64)
    }

    private var interval: TimeAmount?
    private var lastSent = NIODeadline.uptimeNanoseconds(0)
    private var lastHeard = NIODeadline.uptimeNanoseconds(0)
    /// The first ping that nothing was heard after.
    private var pingedAt: NIODeadline?
    /// While this side does not read, silence says nothing about the broker.
    private var isHeld = false

    /// - Parameter seconds: as the broker granted them; 0 for no keep-alive.
    mutating func start(seconds: UInt64, _ now: NIODeadline) {
        interval = seconds > 0 ? .seconds(Int64(clamping: min(seconds, 1_000_000))) : nil
        lastSent = now
        lastHeard = now
        pingedAt = nil
        isHeld = false
    }

    mutating func stop() {
        interval = nil
        isHeld = false
    }

    mutating func sent(_ now: NIODeadline) { lastSent = now }

    mutating func heard(_ now: NIODeadline) {
        lastHeard = now
        pingedAt = nil
    }

    mutating func hold() { isHeld = true }

    mutating func resumed(_ now: NIODeadline) {
        guard isHeld else { return }
        isHeld = false
        heard(now)
    }

    private var pingDue: NIODeadline? {
        guard let interval else { return nil }
        let bySilence = lastSent + .nanoseconds(interval.nanoseconds / 2)
        return isHeld || pingedAt != nil ? bySilence : min(bySilence, lastHeard + interval)
    }

    private var expiry: NIODeadline? {
        guard let interval, let pingedAt, !isHeld else { return nil }
        return pingedAt + .nanoseconds(interval.nanoseconds / 2 * 3)
    }

    var nextDeadline: NIODeadline? {
        guard let pingDue else { return nil }
        return min(pingDue, expiry ?? pingDue)
    }

    mutating func timeHasCome(_ now: NIODeadline) -> Due? {
        if let expiry, let interval, expiry <= now {
            return .expired(seconds: interval.nanoseconds * 3 / 2_000_000_000)
        }
        guard let pingDue, pingDue <= now else { return nil }
        lastSent = now
        if pingedAt == nil { pingedAt = now }
        return .ping
    }
}
