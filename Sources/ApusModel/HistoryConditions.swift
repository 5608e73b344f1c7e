/// What a message of the log must be like for a history query to select it. Conditions that are left out hold for every
/// message; the others hold together.
public struct HistoryConditions: Hashable, Sendable {
    public var fromSeq: Seq?
    /// Inclusive.
    public var toSeq: Seq?
    /// Received at or after.
    public var since: Microseconds?
    /// Received before.
    public var until: Microseconds?
    /// Only the last so many of what fulfils the others; 0 or more.
    public var last: Int?
    /// The media type, or the whole content type as declared.
    public var contentType: String?
    /// Each must be among the message's headers.
    public var headers = Headers()
    /// A text that the payload's bytes must contain.
    public var grep: String?
    public var publisher: String?

    public init() {}
}
