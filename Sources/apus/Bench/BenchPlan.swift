internal import ApusModel

/// What a run does.
struct BenchPlan: Sendable {
    var publishers = 8
    var inFlight = 1_000
    var size = 128
    var seconds = 5.0
    var warmUpSeconds = 0.5
    var subscribers = 1
    var level = AckLevel.synced
    var topicPrefix = "bench"

    /// Of a payload: when it was handed over, in nanoseconds. Shorter payloads have no end-to-end latency.
    static let stampBytes = 8

    /// Batches of one publisher that are on their way at the same time.
    var lanes: Int { min(4, inFlight) }

    /// Messages of one such batch.
    func batch(lane: Int) -> Int { inFlight / lanes + (lane < inFlight % lanes ? 1 : 0) }

    func topic(publisher: Int) -> String { "\(topicPrefix)/\(publisher)" }

    var filter: String { "\(topicPrefix)/+" }
}
