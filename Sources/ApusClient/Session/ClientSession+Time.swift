internal import ApusModel
internal import ApusWire
internal import NIOCore

// What is due when, and what happens then.
extension ClientSession {
    /// When `timeHasCome` wants to be called.
    var nextDeadline: NIODeadline? {
        var next: NIODeadline?
        func consider(_ deadline: NIODeadline?) {
            guard let deadline else { return }
            next = min(next ?? deadline, deadline)
        }
        switch phase {
        case .dialing(let until), .greeting(let until), .draining(let until), .leaving(let until),
            .backoff(let until):
            consider(until)
        case .idle, .open: break
        case .closed: return nil
        }
        if isConversing { consider(keepAlive.nextDeadline) }
        consider(window.nextDeadline)
        consider(closeDeadline)
        return next
    }

    mutating func timeHasCome(_ now: NIODeadline) {
        expirePublishes(now)
        if let closeDeadline, closeDeadline <= now, !isLeaving {
            if isConversing { actions.append(.write(.goodbye(reason: nil))) }
            return end(nil)
        }
        switch phase {
        case .dialing(let until) where until <= now:
            drop(ApusError(.unavailable, "no connection within \(milliseconds(settings.connectTimeout)) ms"), now)
        case .greeting(let until) where until <= now:
            drop(
                ApusError(
                    .timedOut, "no welcome from the broker within \(milliseconds(settings.connectTimeout)) ms",
                    hint: "It hangs, or what accepts connections there is no Apus broker."), now)
        case .backoff(let until) where until <= now: dial(now)
        case .draining(let until) where until <= now: drop(ClientSession.goingAway(nil), now)
        case .leaving(let until) where until <= now: end(nil)
        default: break
        }
        if isConversing {
            switch keepAlive.timeHasCome(now) {
            case .ping: actions.append(.write(.ping))
            case .expired(let seconds):
                drop(
                    ApusError(
                        .keepAliveExpired,
                        "the broker was silent for \(seconds) s after a ping, 1.5 times the keep-alive"), now)
            case nil: break
            }
        }
        settle(now)
    }

    func milliseconds(_ time: TimeAmount) -> Int64 { time.nanoseconds / 1_000_000 }

    mutating func expirePublishes(_ now: NIODeadline) {
        let limit = milliseconds(settings.publishTimeout ?? .zero)
        for (token, isAdmitted) in window.takeExpired(now) {
            let message =
                if !isConversing {
                    "there was no connection to the broker to publish over within \(limit) ms"
                } else if isAdmitted, !window.hasQueued {
                    "the broker did not acknowledge within \(limit) ms"
                } else {
                    "the broker is not reading: a publish waited for \(limit) ms"
                }
            withdraw(token, ApusError(.timedOut, message))
        }
    }
}
