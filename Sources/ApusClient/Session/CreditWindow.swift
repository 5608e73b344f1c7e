// How far a broker may run ahead of the application. A value without I/O, part of ``ClientSession``.

/// The credit of one subscription or query.
///
/// Why credit, and not simply a socket that is not read: the answers to publishes come over the same socket, and so do
/// the messages of other subscriptions. An application that awaits a publish inside the loop over its subscription
/// would wait for an answer that stands behind messages which it does not take. So the broker is told how many
/// messages may come; it keeps the rest in its log, where they cost nothing. Credit counts messages, memory counts
/// bytes: the window follows the size of the messages seen lately. Only where sizes jump can more arrive than
/// was meant, at most what is outstanding; then, as a hard bound, the socket is not read until half of it has been
/// consumed (see `ClientSession.updateReading`).
struct CreditWindow {
    /// Messages; powers of two. Small at first, while it is not known how large the messages are.
    static let initialMessages = 256
    static let messagesMax = 4_096
    /// One that is consumed and one that is on its way.
    static let messagesMin = 2

    let bytesMax: Int
    /// How many messages may be buffered or on their way.
    private(set) var target = CreditWindow.initialMessages
    /// Granted and not arrived.
    private(set) var outstanding = 0
    /// Arrived and not consumed.
    private(set) var buffered = 0
    private(set) var bufferedBytes = 0
    /// More has arrived than memory allows.
    private(set) var isOver = false
    /// Of the last messages, in bytes.
    private var average: Int

    init(bytesMax: Int) {
        self.bytesMax = max(1, bytesMax)
        average = max(1, bytesMax) / CreditWindow.initialMessages
    }

    /// Consumption needs to be reported so often that half a window is never waited for in vain.
    var reportEvery: Int { max(1, target / 4) }

    /// The credit to subscribe with, after a reconnect too: what is buffered counts against it.
    mutating func start() -> UInt64 {
        outstanding = max(1, target - buffered)
        return UInt64(outstanding)
    }

    /// - Returns: whether `reportEvery` has changed.
    mutating func received(count: Int, bytes: Int) -> Bool {
        outstanding = max(0, outstanding - count)
        buffered += count
        bufferedBytes += bytes
        if bufferedBytes > bytesMax { isOver = true }
        guard count > 0 else { return false }
        average = max(1, (3 * average + bytes / count) / 4)
        var fitting = CreditWindow.messagesMin
        while fitting < CreditWindow.messagesMax, 2 * fitting * average <= bytesMax { fitting *= 2 }
        defer { target = fitting }
        return fitting != target
    }

    mutating func consumed(count: Int, bytes: Int) {
        buffered = max(0, buffered - count)
        bufferedBytes = max(0, bufferedBytes - bytes)
        if bufferedBytes <= bytesMax / 2 { isOver = false }
    }

    /// Credit to add now: none, or at least half a window, so that frames of credit stay rare.
    mutating func replenish() -> UInt64? {
        let missing = target - outstanding - buffered
        guard missing > 0, 2 * missing >= target else { return nil }
        outstanding += missing
        return UInt64(missing)
    }
}
