import ApusModel
import ApusTesting
import NIOCore
import Testing

@testable import ApusBroker

@Suite("Publishers that wait for room")
struct PausedPublishersTests {
    /// An event loop with publishers, and an intake that a test drains.
    private final class Bench {
        let loop = ManualLoop()
        let intake: Intake
        let publishers: PausedPublishers
        var connections: [UInt64: ScriptedPublisher] = [:]
        /// Who was read, in turn.
        var read: [UInt64] = []
        var highest = 0

        init(bytesMax: Int) {
            var limits = Limits.defaults
            limits.uncommittedBytesMax = bytesMax
            limits.batchBytesMax = 1_024
            intake = Intake(limits: limits)
            publishers = PausedPublishers(hub: 0, intake: intake, turns: TurnQueue(loop: loop))
        }

        func connect(_ numbers: ClosedRange<UInt64>, turns: Int, bytes: Int = PausedPublishers.turnBytes) {
            for number in numbers {
                connections[number] = ScriptedPublisher(number, self, Array(repeating: bytes, count: turns))
            }
        }

        /// What the loop does in one round: it reads those that may be read, then it does its tasks.
        func round() throws {
            for number in connections.keys.sorted() { try connections[number]?.socketIsReadable() }
            loop.run()
        }

        /// One commit, and what it announces.
        func commit() {
            guard case .batch(let batch) = intake.take(timeoutMicroseconds: 0) else { return }
            if !intake.committed(bytes: batch.bytes).isEmpty { publishers.roomAnnounced() }
        }

        func close(_ number: UInt64) {
            connections[number] = nil
            publishers.remove(ConnectionID(hub: 0, number: number))
        }

        var isDone: Bool { connections.values.allSatisfy(\.turns.isEmpty) }
    }

    private final class ScriptedPublisher: HubConnection {
        private let id: ConnectionID
        private unowned let bench: Bench
        /// What it still brings, in bytes a read turn.
        var turns: [Int]
        var isPaused = false

        init(_ number: UInt64, _ bench: Bench, _ turns: [Int]) {
            id = ConnectionID(hub: 0, number: number)
            self.bench = bench
            self.turns = turns
        }

        func socketIsReadable() throws {
            guard !isPaused, let bytes = turns.first else { return }
            if bench.intake.isFull { return pause() }
            turns.removeFirst()
            bench.read.append(id.number)
            let added = bench.intake.add(.publish(try submission(["a"], from: id.number)), bytes: bytes, rows: 1)
            bench.highest = max(bench.highest, bench.intake.uncommittedBytes)
            if case .isFull = added { pause() } else { bench.publishers.published(id, self) }
        }

        private func pause() {
            isPaused = true
            bench.publishers.pause(id, self)
        }

        func stopReading() -> Bool {
            defer { isPaused = true }
            return !isPaused
        }

        func resumeReading() { isPaused = false }
        func answered(_ answer: ItemAnswer, bytes: Int) {}
        func flush() {}
    }

    private static let turn = PausedPublishers.turnBytes

    @Test("uncommitted-bytes: however many there are, it is passed by one read turn at most, and all get on")
    func holdsTheBound() throws {
        let bench = Bench(bytesMax: 8 * Self.turn)
        bench.connect(1...300, turns: 3)
        var rounds = 0
        while !bench.isDone, rounds < 20_000 {
            try bench.round()
            bench.commit()
            rounds += 1
        }
        #expect(bench.isDone, "\(bench.read.count) of 900 turns")
        #expect(bench.highest <= 9 * Self.turn, "\(bench.highest / Self.turn) turns")
    }

    @Test("take turns: nobody is read again before everybody who waits has been")
    func takesTurns() throws {
        let bench = Bench(bytesMax: 2 * Self.turn)
        bench.connect(1...50, turns: 4)
        while !bench.isDone {
            try bench.round()
            bench.commit()
        }
        for number in UInt64(1)...50 { #expect(bench.read.filter { $0 == number }.count == 4) }
        // Behind the beginning, when they were not waiting yet: any fifty in a row are almost fifty different ones.
        for start in stride(from: 50, to: 150, by: 10) {
            #expect(Set(bench.read[start..<start + 50]).count >= 45, "\(bench.read[start..<start + 50])")
        }
    }

    @Test("are all woken although those woken before them bring nothing, or are gone")
    func nobodySleepsOn() throws {
        let bench = Bench(bytesMax: 4 * Self.turn)
        bench.connect(1...100, turns: 1)
        // One turn more than there is room for, then all the others wait.
        while bench.publishers.count < 96 { try bench.round() }
        for number in UInt64(5)...60 { bench.connections[number]?.turns = [] }
        for number in UInt64(61)...80 { bench.close(number) }
        // Everything that is in the intake is committed at once: no commit will ever announce anything again.
        while case .batch(let batch) = bench.intake.take(timeoutMicroseconds: 0) {
            if !bench.intake.committed(bytes: batch.bytes).isEmpty { bench.publishers.roomAnnounced() }
        }
        for _ in 0..<100 { try bench.round() }
        while case .batch(let batch) = bench.intake.take(timeoutMicroseconds: 0) {
            if !bench.intake.committed(bytes: batch.bytes).isEmpty { bench.publishers.roomAnnounced() }
            for _ in 0..<100 { try bench.round() }
        }
        #expect(bench.isDone)
        #expect(bench.publishers.count == 0)
    }

    @Test("do not wait for word of a commit that has been already")
    func looksBeforeItWaits() throws {
        let bench = Bench(bytesMax: Self.turn)
        bench.connect(1...1, turns: 1)
        let added = bench.intake.add(.publish(try submission(["a"])), bytes: Self.turn, rows: 1)
        guard case .isFull = added else {
            Issue.record("it is full")
            return
        }
        // The commit comes between the look at the intake and the pause.
        bench.commit()
        bench.connections[1]?.isPaused = true
        if let connection = bench.connections[1] {
            bench.publishers.pause(ConnectionID(hub: 0, number: 1), connection)
        }
        for _ in 0..<5 { try bench.round() }
        #expect(bench.read.contains(1))
    }

    @Test("get on whatever comes in which order", arguments: UInt64(1)...20)
    func anyOrder(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let bench = Bench(bytesMax: Self.turn * Int.random(in: 1...6, using: &random))
        for number in UInt64(1)...40 {
            let turns = (0..<Int.random(in: 0...5, using: &random)).map { _ in
                random.isTrue(5) ? 8 << 20 : Int.random(in: 100...Self.turn, using: &random)
            }
            bench.connections[number] = ScriptedPublisher(number, bench, turns)
        }
        var largest = 0
        for publisher in bench.connections.values { largest = max(largest, publisher.turns.max() ?? 0) }
        let bound = bench.intake.room(orTell: 0) + largest
        for _ in 0..<5_000 where !bench.isDone {
            if random.isTrue(70) { try bench.round() }
            if random.isTrue(40) { bench.commit() }
            if random.isTrue(1) { bench.close(UInt64.random(in: 1...40, using: &random)) }
        }
        #expect(bench.isDone)
        #expect(bench.highest <= bound)
    }
}
