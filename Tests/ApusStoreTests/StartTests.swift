import ApusBroker
import ApusModel
import ApusStore
import ApusTesting
import Testing

@Suite("Where a subscription begins")
struct StartTests {
    /// Ten messages a second apart, with a hole of a killed broker in the middle.
    private func spacedLog() throws -> (log: TestLog, store: Store, seqs: [Seq], times: [Microseconds]) {
        let log = try TestLog()
        var store = log.store
        var seqs: [Seq] = []
        var times: [Microseconds] = []
        for index in 0..<10 {
            if index == 5 { store = try TestLog.open(try log.copyAsKilled(), .defaults, log.clock) }
            log.clock.advance(seconds: 1)
            times.append(log.clock.now)
            seqs.append(try #require(try store.publish([Draft("t/\(index % 2)", "\(index)")]).batch).through)
        }
        return (log, store, seqs, times)
    }

    @Test("A time finds the first message received at or after it, holes or not")
    func time() throws {
        let (log, store, seqs, times) = try spacedLog()
        _ = log
        for (index, time) in times.enumerated() {
            for (offset, expected) in [(-1, index), (0, index), (1, index + 1)] {
                let start = try store.start(.time(time + Int64(offset)), filters: .all)
                let rest = try store.readAll(after: start).map(\.seq)
                #expect(rest == Array(seqs.dropFirst(expected)))
            }
        }
        #expect(try store.start(.time(.min), filters: .all) == 0)
        #expect(try store.readAll(after: try store.start(.time(.max), filters: .all)).isEmpty)
        try store.close()
    }

    @Test("A seq that this log never gave out is another log's")
    func otherLog() throws {
        let log = try TestLog()
        try log.store.publish([Draft("t", "1"), Draft("t", "2")])
        #expect(try log.store.start(.seq(3), filters: .all) == 2)
        #expect(throws: ApusError.self) { try log.store.start(.seq(4), filters: .all) }
        // After an unclean stop everything that may have been handed out is known.
        let after = try TestLog.open(try log.copyAsKilled(), .defaults, log.clock)
        #expect(try after.start(.seq(4), filters: .all) == 3)
        try after.close()
    }

    @Test("Ago is a time seen from now")
    func ago() throws {
        let (log, store, seqs, _) = try spacedLog()
        _ = log
        let start = try store.start(.ago(2_500_000), filters: .all)
        #expect(try store.readAll(after: start).map(\.seq) == Array(seqs.suffix(3)))
        #expect(try store.start(.ago(.max), filters: .all) == 0)
        try store.close()
    }

    @Test("Now, start, a seq and the last few")
    func others() throws {
        let (log, store, seqs, _) = try spacedLog()
        _ = log
        #expect(try store.start(.now, filters: .all) == store.head)
        #expect(try store.start(.lastPerTopic, filters: .all) == store.head)
        #expect(try store.start(.start, filters: .all) == 0)
        #expect(try store.start(.seq(7), filters: .all) == 6)
        #expect(try store.start(.seq(0), filters: .all) == 0)
        #expect(try store.start(.last(0), filters: .all) == store.head)
        let odd = try filters("t/1")
        #expect(
            try store.readAll(odd, after: try store.start(.last(3), filters: odd)).map(\.seq) == [
                seqs[5], seqs[7], seqs[9],
            ])
        #expect(try store.start(.last(1_000), filters: odd) == 0)
        try store.close()
    }

    @Test("An empty log starts at 0 everywhere")
    func empty() throws {
        let log = try TestLog()
        for position in [StartPosition.now, .start, .time(5), .ago(5), .last(5), .lastPerTopic, .seq(1)] {
            #expect(try log.store.start(position, filters: .all) == 0)
        }
    }
}

@Suite("Retained messages")
struct RetainedTests {
    private func retained(_ store: Store, _ filters: FilterSet = .all, countMax: Int = 100) throws -> [String] {
        var position: Seq = 0
        var rows: [Row] = []
        while position < store.head {
            let page = try store.retained(
                PageRequest(
                    filters: filters, after: position, through: store.head, bytesMax: 1 << 20, countMax: countMax))
            rows += page.rows
            position = page.through
        }
        return rows.map { "\($0.topic)=\($0.payload)" }
    }

    @Test("The last retained one of each topic comes, in the order of the seqs; an empty one takes it away")
    func lastOfEachTopic() throws {
        let log = try TestLog()
        try log.store.publish([
            Draft("a", "1", isRetained: true), Draft("b", "1", isRetained: true), Draft("a", "not retained"),
            Draft("c", "1", isRetained: true), Draft("a", "2", isRetained: true), Draft("b", "", isRetained: true),
        ])
        #expect(try retained(log.store) == ["c=1", "a=2"])
        #expect(try retained(log.store, countMax: 1) == ["c=1", "a=2"])
        #expect(try retained(log.store, filters("a")) == ["a=2"])
        #expect(try retained(log.store, filters("b", "nothing")) == [])
        // The empty one is a message like any other.
        #expect(try log.store.readAll().count == 6)
        try log.reopen()
        #expect(try retained(log.store) == ["c=1", "a=2"])
    }

    @Test("A refused batch changes no retained message")
    func refused() throws {
        let log = try TestLog()
        try log.store.publish([Draft("a", "1", isRetained: true)])
        log.disk.fail(.write, .wal, .init(code: Code.full))
        try log.store.publish([Draft("a", "2", isRetained: true)])
        log.disk.heal()
        #expect(try retained(log.store) == ["a=1"])
    }
}
