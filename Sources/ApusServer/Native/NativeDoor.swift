package import ApusBroker
package import ApusModel
internal import Logging
package import NIOCore

/// What the native connections of one event loop share. Confined to that loop; not Sendable.
package final class NativeDoor {
    let hub: Hub
    let loop: any EventLoop
    let intake: Intake
    let interner: Interner
    let limits: Limits
    let log: String
    let defaultTopic: Topic?
    let queries: any LogQueries
    let queryWorkers: WorkerPool
    let gauges: Gauges
    let logins: Authenticator
    let clock: @Sendable () -> Microseconds
    let makeStatus: (LogStatus) -> JSON

    /// Bytes of incomplete frames on this loop. Each loop has its share of the budget, so no loop asks another.
    private var heldBytes = 0
    private let heldBytesMax: Int
    private var holders: [ObjectIdentifier: NativeHandler] = [:]

    package init(
        hub: Hub, loop: any EventLoop, intake: Intake, limits: Limits, loops: Int, log: String, defaultTopic: Topic?,
        queries: any LogQueries, queryWorkers: WorkerPool, gauges: Gauges, logins: Authenticator,
        clock: @escaping @Sendable () -> Microseconds, makeStatus: @escaping (LogStatus) -> JSON
    ) {
        self.hub = hub
        self.loop = loop
        self.intake = intake
        self.limits = limits
        self.log = log
        self.defaultTopic = defaultTopic
        self.queries = queries
        self.queryWorkers = queryWorkers
        self.gauges = gauges
        self.logins = logins
        self.clock = clock
        self.makeStatus = makeStatus
        interner = Interner(entriesMax: limits.nameCacheEntries)
        heldBytesMax = limits.receiveBytesMax / loops
    }

    func status(_ log: LogStatus) -> JSON { makeStatus(log) }

    /// A name for a client that gives none: unlikely to be anybody else's.
    func makeClientID() -> String { "client-" + String(UInt64.random(in: .min ... .max), radix: 36) }

    // MARK: The budget for incomplete frames

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
