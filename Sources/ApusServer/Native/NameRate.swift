internal import NIOCore

/// How fast a connection brings names that its event loop does not know: a bucket that fills with time.
struct NameRate {
    private let perSecond: Double
    /// What may be spent at once; below zero it is owed.
    private var tokens: Double
    private var filled: NIODeadline

    init(perSecond: Int, now: NIODeadline) {
        self.perSecond = Double(perSecond)
        tokens = Double(perSecond)
        filled = now
    }

    /// - Returns: how long the connection has to wait before it is read again; nil for not at all.
    mutating func spend(_ names: Int, now: NIODeadline) -> TimeAmount? {
        guard names > 0 else { return nil }
        let seconds = Double((now - filled).nanoseconds) / 1e9
        tokens = min(perSecond, tokens + seconds * perSecond) - Double(names)
        filled = now
        guard tokens < 0 else { return nil }
        return .nanoseconds(Int64(-tokens / perSecond * 1e9))
    }
}
