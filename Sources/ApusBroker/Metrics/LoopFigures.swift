/// What one event loop says of its connections and cursors when it is asked.
package struct LoopFigures: Sendable {
    /// So many of the cursors that are furthest behind are told.
    package static let slowestMax = 10

    package var connections = 0
    package var pausedPublishers = 0
    package var tailBytes = 0
    package var receiveBytes = 0
    package var cursors = 0
    package var cursorsBehindTail = 0
    /// Furthest behind first.
    package private(set) var slowest: [CursorStanding] = []

    package init() {}

    package var lagMax: UInt64 { slowest.first?.lag ?? 0 }

    package mutating func add(_ standing: CursorStanding) {
        cursors += 1
        if standing.isBehindTail { cursorsBehindTail += 1 }
        guard standing.lag > 0 else { return }
        guard slowest.count < LoopFigures.slowestMax || standing.lag > slowest[slowest.count - 1].lag else { return }
        let index = slowest.firstIndex { $0.lag < standing.lag } ?? slowest.count
        slowest.insert(standing, at: index)
        if slowest.count > LoopFigures.slowestMax { slowest.removeLast() }
    }

    /// Of several loops: sums, but the tail, which they share, and the slowest of all.
    package static func merged(_ loops: [LoopFigures]) -> LoopFigures {
        loops.reduce(into: LoopFigures()) { sum, loop in
            sum.connections += loop.connections
            sum.pausedPublishers += loop.pausedPublishers
            sum.tailBytes = max(sum.tailBytes, loop.tailBytes)
            sum.receiveBytes += loop.receiveBytes
            sum.cursors += loop.cursors
            sum.cursorsBehindTail += loop.cursorsBehindTail
            sum.slowest += loop.slowest
            sum.slowest.sort { $0.lag > $1.lag }
            sum.slowest = Array(sum.slowest.prefix(slowestMax))
        }
    }
}

/// Where a cursor stands, as a copy.
package struct CursorStanding: Hashable, Sendable {
    /// What a cursor that is behind waits for.
    package enum Wait: String, Sendable {
        /// Credit from its client.
        case credit
        /// Its client's reading.
        case client
        /// A page of the log.
        case log
        /// Its turn.
        case turn
    }

    package let connection: ConnectionID
    package let subscription: UInt32
    /// Seqs from where it stands to the newest one; 0 for one that is live.
    package let lag: UInt64
    package let isBehindTail: Bool
    package let wait: Wait

    package init(connection: ConnectionID, subscription: UInt32, lag: UInt64, isBehindTail: Bool, wait: Wait) {
        self.connection = connection
        self.subscription = subscription
        self.lag = lag
        self.isBehindTail = isBehindTail
        self.wait = wait
    }
}
