package import ApusBroker
package import ApusModel
internal import Logging
package import NIOCore

/// What the native connections of one event loop share. Confined to that loop; not Sendable.
package final class NativeDoor {
    let hub: Hub
    let loop: any EventLoop
    let turns: TurnQueue
    let intake: Intake
    let interner: Interner
    let limits: Limits
    let log: String
    let defaultTopic: Topic?
    let queries: any LogQueries
    let queryWorkers: WorkerPool
    let gauges: Gauges
    let metrics: BrokerMetrics
    /// This loop's share of what the door counts.
    let counters: DoorCounters
    /// Brings the figures that `makeStatus` shows up to date, and calls back on any thread.
    let gatherFigures: (@escaping @Sendable () -> Void) -> Void
    let logins: Authenticator
    let clock: @Sendable () -> Microseconds
    let makeStatus: (LogStatus) -> JSON
    /// The broker stops: who comes now, from a handshake that took its time, is sent away at once.
    package var isStopping = false

    /// Readers that found a damaged message.
    let damage = OnceAMinute()

    /// Bytes of incomplete frames on this loop. Each loop has its share of the budget, so no loop asks another.
    private var heldBytes = 0
    private let heldBytesMax: Int
    private var holders: [ObjectIdentifier: NativeHandler] = [:]
    /// Bytes of frames that have come and wait for their turn or for room: the broker's own delay, which ends nobody.
    private var deferredBytes = 0

    package init(
        hub: Hub, loop: any EventLoop, turns: TurnQueue, intake: Intake, limits: Limits, loops: Int, log: String,
        defaultTopic: Topic?, queries: any LogQueries, queryWorkers: WorkerPool, gauges: Gauges,
        metrics: BrokerMetrics, logins: Authenticator, clock: @escaping @Sendable () -> Microseconds,
        gatherFigures: @escaping (@escaping @Sendable () -> Void) -> Void, makeStatus: @escaping (LogStatus) -> JSON
    ) {
        self.hub = hub
        self.loop = loop
        self.turns = turns
        self.intake = intake
        self.limits = limits
        self.log = log
        self.defaultTopic = defaultTopic
        self.queries = queries
        self.queryWorkers = queryWorkers
        self.gauges = gauges
        self.metrics = metrics
        counters = metrics.makeDoorCounters(.native)
        self.gatherFigures = gatherFigures
        self.logins = logins
        self.clock = clock
        self.makeStatus = makeStatus
        interner = Interner(entriesMax: limits.nameCacheEntries, bytesMax: limits.nameCacheBytes)
        heldBytesMax = limits.receiveBytesMax / loops
    }

    func status(_ log: LogStatus) -> JSON { makeStatus(log) }

    /// A name for a client that gives none: unlikely to be anybody else's.
    func makeClientID() -> String { "client-" + String(UInt64.random(in: .min ... .max), radix: 36) }

    // MARK: The budget for incomplete frames

    /// Whether a connection may leave frames for its next turn. As many bytes may wait as the budget for incomplete
    /// frames has; where those of this loop are spent, memory comes before fairness.
    var mayDefer: Bool { deferredBytes < heldBytesMax }

    func deferred(change: Int) { deferredBytes += change }

    /// A connection holds more, or less, than before. Where the budget is spent, the largest holders go.
    func held(_ handler: NativeHandler, change: Int) {
        heldBytes += change
        holders[ObjectIdentifier(handler)] = handler.heldBytes > 0 ? handler : nil
        while heldBytes > heldBytesMax,
            let largest = holders.values.max(by: { $0.heldBytes < $1.heldBytes })
        {
            released(largest, bytes: largest.heldBytes)
            largest.exceedReceiveBudget()
        }
    }

    func released(_ handler: NativeHandler, bytes: Int) {
        heldBytes -= bytes
        holders[ObjectIdentifier(handler)] = nil
    }
}
