internal import NIOConcurrencyHelpers

/// What the doors are called in figures.
package enum DoorName: String, Sendable, CaseIterable {
    case native
}

/// What one event loop's share of a door counts. Only that loop adds.
package struct DoorCounters: Sendable {
    /// Publishes that were handed to the intake.
    package let messagesIn = OwnedCounter()
    /// Messages that were written for subscriptions.
    package let messagesOut = OwnedCounter()
    /// Read from sockets and written to them, as they are on the wire (of TLS: inside it).
    package let bytesIn = OwnedCounter()
    package let bytesOut = OwnedCounter()

    package init() {}
}

/// The figures that are counted as things happen. Made once, with the broker; what can be looked at when somebody asks
/// is not counted here.
package final class BrokerMetrics: Sendable {
    package let commitDuration = Distribution.ofSeconds()
    package let commitMessages = Distribution.ofCounts()
    package let commitBytes = Distribution.ofBytes()
    package let syncDuration = Distribution.ofSeconds()
    package let connectionsAccepted = Counter()
    package let historyQueries = Counter()
    package let topicsQueries = Counter()
    package let statusQueries = Counter()
    package let health = BrokerHealth()

    private let doors = NIOLockedValueBox<[DoorName: [DoorCounters]]>([:])

    package init() {}

    /// For one event loop's share of a door: once a loop.
    package func makeDoorCounters(_ door: DoorName) -> DoorCounters {
        let counters = DoorCounters()
        doors.withLockedValue { $0[door, default: []].append(counters) }
        return counters
    }

    package struct DoorFigures: Hashable, Sendable {
        package var messagesIn = 0
        package var messagesOut = 0
        package var bytesIn = 0
        package var bytesOut = 0
    }

    package func figures(of door: DoorName) -> DoorFigures {
        doors.withLockedValue { $0[door] ?? [] }.reduce(into: DoorFigures()) { sum, loop in
            sum.messagesIn += loop.messagesIn.value
            sum.messagesOut += loop.messagesOut.value
            sum.bytesIn += loop.bytesIn.value
            sum.bytesOut += loop.bytesOut.value
        }
    }

    /// Over all doors.
    package var allDoors: DoorFigures {
        DoorName.allCases.map(figures).reduce(into: DoorFigures()) { sum, door in
            sum.messagesIn += door.messagesIn
            sum.messagesOut += door.messagesOut
            sum.bytesIn += door.bytesIn
            sum.bytesOut += door.bytesOut
        }
    }
}
