/// Where a subscription begins.
public enum StartPosition: Hashable, Sendable {
    /// With the next message.
    case now
    /// With the oldest message of the log.
    case start
    /// With this seq, or the next one after it.
    case seq(Seq)
    /// With the first message received at or after this time (microseconds since 1970 UTC).
    case time(Microseconds)
    /// With the first message received at most so long ago (microseconds).
    case ago(Microseconds)
    /// With the last so many matching messages.
    case last(Int)
    /// With the retained message of each matching topic, in the order of their seqs; then live.
    case lastPerTopic
}
