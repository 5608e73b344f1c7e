import ApusModel
import ApusTesting
import Logging
import NIOCore
import Testing

@testable import ApusBroker

@Suite("Figures")
struct MetricsTests {
    @Test("of a distribution: a value on a bound belongs to it, one beyond all bounds still counts")
    func distribution() {
        let distribution = Distribution(bounds: [10, 100])
        for value in [0, 10, 11, 100, 101, 1_000] { distribution.record(value) }
        let snapshot = distribution.snapshot
        #expect(snapshot.buckets.map(\.count) == [2, 4, 6])
        #expect(snapshot.buckets.map(\.upTo) == [10, 100, nil])
        #expect(snapshot.count == 6)
        #expect(snapshot.sum == 1_222)
    }

    @Test("of the doors are the sums over all loops")
    func doors() {
        let metrics = BrokerMetrics()
        let loops = [metrics.makeDoorCounters(.native), metrics.makeDoorCounters(.native)]
        for (index, loop) in loops.enumerated() {
            loop.messagesIn.add(index + 1)
            loop.messagesOut.add(10)
            loop.bytesIn.add(100)
            loop.bytesOut.add(1_000)
        }
        let figures = metrics.figures(of: .native)
        #expect(figures.messagesIn == 3)
        #expect(figures.messagesOut == 20)
        #expect(figures.bytesIn == 200)
        #expect(figures.bytesOut == 2_000)
        #expect(metrics.allDoors == figures)
    }

    @Test("of commits count what was recorded, and nothing that was refused")
    func commits() throws {
        let store = MemoryStore()
        let metrics = BrokerMetrics()
        var limits = Limits.defaults
        limits.batchRowsMax = 2
        let intake = Intake(limits: limits)
        let announcer = Announcer(head: 0)
        announcer.add(RecordingPort())
        let writer = GroupCommit(
            store: store, intake: intake, announcer: announcer, metrics: metrics,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        for topics in [["a", "b"], ["c"]] {
            let submission = try submission(topics)
            _ = intake.add(.publish(submission), bytes: 300, rows: topics.count)
        }
        intake.close()
        try writer.run()
        #expect(metrics.commitMessages.snapshot.count == 2)
        #expect(metrics.commitMessages.snapshot.sum == 3)
        #expect(metrics.commitBytes.snapshot.sum == 600)
        #expect(metrics.commitDuration.snapshot.count == 2)
        #expect(metrics.syncDuration.snapshot.count == 0, "nothing is synced in memory")
        store.setFaults { $0.refusal = ApusError(.storageFull, "full") }
        let again = Intake(limits: limits)
        let refused = try submission(["d"])
        _ = again.add(.publish(refused), bytes: 300, rows: 1)
        again.close()
        try GroupCommit(
            store: store, intake: again, announcer: announcer, metrics: metrics,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        ).run()
        #expect(metrics.commitMessages.snapshot.count == 2)
    }

    @Test("of several loops name the ten cursors that are furthest behind, over all of them")
    func slowest() {
        func loop(_ lags: [UInt64], hub: Int) -> LoopFigures {
            var figures = LoopFigures()
            for (index, lag) in lags.enumerated() {
                figures.add(
                    CursorStanding(
                        connection: ConnectionID(hub: hub, number: UInt64(index)), subscription: 1, lag: lag,
                        isBehindTail: lag > 50, wait: .client))
            }
            figures.tailBytes = 100 * (hub + 1)
            figures.connections = lags.count
            return figures
        }
        let one = loop(Array(0...20), hub: 0)
        #expect(one.cursors == 21)
        #expect(one.slowest.map(\.lag) == Array((11...20).reversed()))
        let all = LoopFigures.merged([one, loop([60, 15, 0, 70], hub: 1)])
        #expect(all.slowest.map(\.lag) == [70, 60, 20, 19, 18, 17, 16, 15, 15, 14])
        #expect(all.lagMax == 70)
        #expect(all.cursors == 25)
        #expect(all.cursorsBehindTail == 2)
        #expect(all.connections == 25)
        #expect(all.tailBytes == 200, "the loops share the batches of the tail")
    }
}

@Suite("The broker's health")
struct BrokerHealthTests {
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000)
    private let full = ApusError(.storageFull, "the disk of /secret/apus.db is full")

    @Test("goes from starting to serving to stopping, and never back")
    func phases() {
        let health = BrokerHealth()
        #expect(health.reasons(now: start).map(\.code) == ["starting"])
        health.serves()
        #expect(health.reasons(now: start).isEmpty)
        health.stops()
        health.serves()
        #expect(health.reasons(now: start).map(\.code) == ["stopping"])
        health.failed(ApusError(.commitUnknown, "/secret/apus.db"))
        health.stops()
        #expect(health.reasons(now: start).map(\.code) == ["log-failed"])
    }

    @Test("remembers a refusal for a while, or until something is recorded, and names no path")
    func refusals() {
        let health = BrokerHealth()
        health.serves()
        health.refuses(full, now: start)
        let reasons = health.reasons(now: start + .seconds(29))
        #expect(reasons.map(\.code) == ["storage-full"])
        #expect(!reasons.contains { $0.message.contains("secret") })
        #expect(health.reasons(now: start + .seconds(30)).isEmpty, "nobody may come back, so time has to pass")
        health.refuses(full, now: start)
        health.records()
        #expect(health.reasons(now: start).isEmpty)
    }

    @Test("hears of refused commits from the writer, and of the first one that is recorded again")
    func fromTheWriter() throws {
        let (store, metrics, intake) = (MemoryStore(), BrokerMetrics(), Intake(limits: .defaults))
        metrics.health.serves()
        let announcer = Announcer(head: 0)
        announcer.add(RecordingPort())
        let writer = GroupCommit(
            store: store, intake: intake, announcer: announcer, metrics: metrics,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        store.setFaults { $0.refusal = full }
        let end = Watched(false)
        onThread {
            try? writer.run()
            end.change { $0 = true }
        }
        func publish() throws {
            let submission = try submission(["a"])
            _ = intake.add(.publish(submission), bytes: 1, rows: 1)
        }
        func wait(_ codes: [String]) throws {
            let deadline = NIODeadline.now() + .seconds(Int64(patienceSeconds))
            while metrics.health.reasons(now: .now()).map(\.code) != codes {
                guard NIODeadline.now() < deadline else { throw WaitedTooLong("\(codes)") }
            }
        }
        try publish()
        try wait(["storage-full"])
        store.setFaults { $0.refusal = nil }
        try publish()
        try wait([])
        intake.close()
        try end.wait("the writer's end") { $0 }
    }
}
