internal import ApusModel
internal import ApusWire
internal import NIOCore

// Publishes, and waiting for their answers.
extension ClientSession {
    mutating func publish(
        _ batch: PreparedBatch, token: UInt64, _ handover: PublishWindow.Handover, _ now: NIODeadline
    ) {
        if let error = refusal() {
            actions.append(
                .published(PublishWindow.Outcome(token: token, messages: PublishOutcome(callError: error))))
            return
        }
        let deadline = settings.publishTimeout.map { now + $0 }
        window.append(batch, token: token, handover, deadline: deadline)
        settle(now)
    }

    static func closedError(_ error: ApusError?) -> ApusError {
        guard let error else { return ApusError(.closed, "the client is closed") }
        return error
    }

    /// The caller of `publish` or `enqueue` was cancelled.
    mutating func cancelPublish(_ token: UInt64, _ now: NIODeadline) {
        withdraw(token, ApusError(.cancelled, "the publish was cancelled"))
        settle(now)
    }

    /// Ends a call with an error that says how much of it had been sent.
    mutating func withdraw(_ token: UInt64, _ error: ApusError) {
        guard var outcome = window.withdraw(token, error) else { return }
        let unknown = outcome.messages.failures.values.count { $0.isOutcomeUnknown }
        outcome.messages.callError?.isOutcomeUnknown = unknown > 0
        outcome.messages.callError?.hint =
            unknown > 0
            ? "\(unknown) of its messages had been sent; whether they are recorded is unknown." : "Nothing was sent."
        actions.append(.published(outcome))
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
