internal import ApusModel
internal import ApusWire
internal import NIOCore

// Publishes, and waiting for their answers.
extension ClientSession {
    mutating func publish(_ batch: PreparedBatch, token: UInt64, isEnqueued: Bool, _ now: NIODeadline) {
        if case .closed(let error) = phase { return refuse(token, isEnqueued, ClientSession.closedError(error)) }
        guard closeDeadline == nil else { return refuse(token, isEnqueued, ClientSession.closedError(nil)) }
        let deadline = settings.publishTimeout.map { now + $0 }
        window.append(batch, token: token, isEnqueued: isEnqueued, deadline: deadline)
        settle(now)
    }

    mutating func refuse(_ token: UInt64, _ isEnqueued: Bool, _ error: ApusError) {
        actions.append(
            .published(PublishWindow.Outcome(token: token, result: .failure(error), isDetached: false)))
    }

    static func closedError(_ error: ApusError?) -> ApusError {
        guard let error else { return ApusError(.closed, "the client is closed") }
        return error
    }

    /// The caller of `publish` or `enqueue` was cancelled.
    mutating func cancelPublish(_ token: UInt64, _ now: NIODeadline) {
        guard let written = window.withdraw(token) else { return }
        let error = ApusError(
            .cancelled, "the publish was cancelled",
            hint: written > 0 ? "\(written) of its messages had been sent; whether they are recorded is unknown." : nil)
        actions.append(
            .published(PublishWindow.Outcome(token: token, result: .failure(error), isDetached: false)))
        settle(now)
    }

    /// Writes publishes until `out` has so many bytes or nothing more may be written.
    mutating func writePublishes(
        into out: inout ByteBuffer, until bytes: Int, encoder: inout PublishEncoder, _ now: NIODeadline
    ) {
        guard canWritePublishes else { return }
        window.write(into: &out, until: bytes, encoder: &encoder)
        settle(now)
    }

    /// Ends when everything that was handed over before is answered.
    mutating func flush(token: UInt64, _ now: NIODeadline) {
        if case .closed(let error) = phase, let error = enqueueError ?? error {
            enqueueError = nil
            actions.append(.flushed(token: token, error))
            return
        }
        flushes.append(Flush(token: token, before: window.nextID))
        settle(now)
    }

    mutating func cancelFlush(_ token: UInt64) {
        guard let index = flushes.firstIndex(where: { $0.token == token }) else { return }
        flushes.remove(at: index)
        actions.append(.flushed(token: token, ApusError(.cancelled, "the flush was cancelled")))
    }
}
