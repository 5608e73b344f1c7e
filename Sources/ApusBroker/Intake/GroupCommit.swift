// Station 5, group commit. Runs on the one writer thread. In: what has queued up in the intake. Out: one commit, and
// its announcement. Bounded by `batch-bytes` and `batch-rows`.

package import ApusModel
package import Logging
internal import NIOCore

/// The writer: takes what has queued up, commits it at once, announces it. While one fsync runs the next batch forms,
/// so there is no timer between a message and its ack.
package struct GroupCommit: Sendable {
    private let store: any LogStore
    private let intake: Intake
    private let announcer: Announcer
    private let metrics: BrokerMetrics
    private let logger: Logger

    package init(
        store: any LogStore, intake: Intake, announcer: Announcer, metrics: BrokerMetrics = BrokerMetrics(),
        logger: Logger
    ) {
        self.store = store
        self.intake = intake
        self.announcer = announcer
        self.metrics = metrics
        self.logger = logger
    }

    /// Runs until the intake is closed and empty; then closes the store.
    ///
    /// - Throws: where the outcome of a commit is unknown or the file cannot be trusted: nothing of it was
    ///   acknowledged, everything still queued was refused, and the store is left for the next start to check.
    package func run() throws(ApusError) {
        var nextRest: Int64? = 0
        // Why the log refuses everything, while it does: said once, and once when it is over.
        var refusal: ApusError?
        while true {
            switch intake.take(timeoutMicroseconds: nextRest) {
            case .batch(let batch): try commit(batch, &refusal)
            case .timeout: break
            case .end:
                try store.close()
                return
            }
            do throws(ApusError) {
                nextRest = try store.rest()
            } catch {
                throw refuseAll(error)
            }
        }
    }

    private func commit(_ batch: Intake.Batch, _ refusal: inout ApusError?) throws(ApusError) {
        do throws(ApusError) {
            let began = NIODeadline.now()
            let outcome = try store.append(batch.items)
            measure(outcome, bytes: batch.bytes, since: began)
            report(outcome, &refusal)
            announcer.announce(items: batch.items, outcome: outcome, freed: intake.committed(bytes: batch.bytes))
        } catch {
            refuse(batch, error)
            throw refuseAll(error)
        }
    }

    private func measure(_ outcome: CommitOutcome, bytes: Int, since began: NIODeadline) {
        guard let recorded = outcome.batch else { return }
        metrics.commitDuration.record(Int((NIODeadline.now() - began).nanoseconds))
        metrics.commitMessages.record(recorded.messages.count)
        metrics.commitBytes.record(bytes)
        if let nanoseconds = outcome.syncNanoseconds { metrics.syncDuration.record(Int(nanoseconds)) }
    }

    private func report(_ outcome: CommitOutcome, _ refusal: inout ApusError?) {
        if outcome.batch != nil {
            guard refusal != nil else { return }
            logger.notice("publishes are recorded again")
            metrics.health.records()
            refusal = nil
        } else if case .refused(let reason)? = outcome.answers.first, reason.mayPassLater, reason.code != .fenced {
            if refusal == nil { logger.error("publishes are refused", metadata: ["reason": "\(reason)"]) }
            metrics.health.refuses(reason, now: .now())
            refusal = reason
        }
    }

    /// After a fault nothing is committed any more, but everybody who waits for an answer gets one.
    private func refuseAll(_ error: ApusError) -> ApusError {
        intake.fail(error)
        while case .batch(let batch) = intake.take(timeoutMicroseconds: 0) { refuse(batch, error) }
        return error
    }

    private func refuse(_ batch: Intake.Batch, _ error: ApusError) {
        let answers = batch.items.map { _ in ItemAnswer.refused(error) }
        announcer.announce(
            items: batch.items, outcome: CommitOutcome(batch: nil, answers: answers),
            freed: intake.committed(bytes: batch.bytes))
    }
}
