import ApusModel
import ApusTesting
import Testing

@testable import ApusBroker

@Suite("The intake")
struct IntakeTests {
    private func intake(bytes: Int = 1_000, batchBytes: Int = 300, batchRows: Int = 100) -> Intake {
        var limits = Limits.defaults
        limits.uncommittedBytesMax = bytes
        limits.batchBytesMax = batchBytes
        limits.batchRowsMax = batchRows
        return Intake(limits: limits)
    }

    private func item(_ number: UInt64) throws -> IntakeItem { .publish(try submission(["a"], from: number)) }

    private func numbers(_ work: Intake.Work) -> [UInt64]? {
        guard case .batch(let batch) = work else { return nil }
        return batch.items.map { item in
            guard case .publish(let submission) = item else { return 0 }
            return submission.connection.number
        }
    }

    @Test("batch-bytes: a batch closes before the item that would go over it, and keeps the order")
    func closesBatchesAtTheirBytes() throws {
        let intake = intake()
        for (index, bytes) in [100, 150, 60, 400, 10].enumerated() {
            _ = intake.add(try item(UInt64(index + 1)), bytes: bytes, rows: 1)
        }
        #expect(numbers(intake.take(timeoutMicroseconds: 0)) == [1, 2])
        #expect(numbers(intake.take(timeoutMicroseconds: 0)) == [3])
        #expect(numbers(intake.take(timeoutMicroseconds: 0)) == [4], "one that is larger than a batch goes alone")
        #expect(numbers(intake.take(timeoutMicroseconds: 0)) == [5])
        guard case .timeout = intake.take(timeoutMicroseconds: 0) else {
            Issue.record("nothing is left")
            return
        }
    }

    @Test("batch-rows: a batch closes before the item that would go over it")
    func closesBatchesAtTheirRows() throws {
        let intake = intake(batchRows: 10)
        for (index, rows) in [4, 6, 1, 20, 1].enumerated() {
            _ = intake.add(try item(UInt64(index + 1)), bytes: 1, rows: rows)
        }
        #expect(numbers(intake.take(timeoutMicroseconds: 0)) == [1, 2])
        #expect(numbers(intake.take(timeoutMicroseconds: 0)) == [3])
        #expect(numbers(intake.take(timeoutMicroseconds: 0)) == [4])
        #expect(numbers(intake.take(timeoutMicroseconds: 0)) == [5])
    }

    @Test("takes nothing more once it is closed: what came before is the end")
    func refusesOnceClosed() throws {
        let intake = intake()
        _ = intake.add(try item(1), bytes: 1, rows: 1)
        intake.close()
        guard case .refused(let error) = intake.add(try item(2), bytes: 1, rows: 1) else {
            Issue.record("it is added")
            return
        }
        #expect(error.code == .goingAway)
        #expect(numbers(intake.take(timeoutMicroseconds: 0)) == [1])
        guard case .end = intake.take(timeoutMicroseconds: 0) else {
            Issue.record("there is something left")
            return
        }
    }

    private func isFull(_ added: Intake.Added) -> Bool {
        if case .isFull = added { true } else { false }
    }

    @Test("uncommitted-bytes: who adds beyond it is told so, and who asks for room hears of it at a quarter")
    func announcesRoom() throws {
        let intake = intake()
        #expect(!isFull(intake.add(try item(1), bytes: 600, rows: 1)))
        #expect(!intake.isFull)
        #expect(intake.room(orTell: 0) == 400)
        #expect(isFull(intake.add(try item(2), bytes: 500, rows: 1)))
        #expect(isFull(intake.add(try item(3), bytes: 200, rows: 1)), "it is added all the same")
        #expect(intake.isFull)
        #expect(intake.uncommittedBytes == 1_300)
        #expect(intake.room(orTell: 1) == 0)
        #expect(intake.room(orTell: 2) == 0)
        #expect(intake.committed(bytes: 500) == [], "800 of 1000 are still in use")
        #expect(intake.room(orTell: 3) == 200, "who asks now need not wait")
        #expect(intake.committed(bytes: 100) == [1, 2])
        #expect(intake.committed(bytes: 100) == [], "each is told once")
        #expect(intake.uncommittedBytes == 600)
    }

    @Test("room is shared by the event loops, and there is always some for each where there is any")
    func sharesRoom() throws {
        var limits = Limits.defaults
        limits.uncommittedBytesMax = 1_000
        let intake = Intake(limits: limits, hubs: 3)
        #expect(intake.room(orTell: 0) == 333)
        _ = intake.add(try item(1), bytes: 999, rows: 1)
        #expect(intake.room(orTell: 0) == 1)
    }

    @Test("what comes after the log has failed is refused, and what was queued before can still be taken")
    func fails() throws {
        let intake = intake()
        _ = intake.add(try item(1), bytes: 1, rows: 1)
        intake.fail(ApusError(.commitUnknown, "the disk is gone"))
        guard case .refused(let error) = intake.add(try item(2), bytes: 1, rows: 1) else {
            Issue.record("nobody will ever answer it")
            return
        }
        #expect(error.code == .commitUnknown)
        #expect(intake.uncommittedBytes == 1)
        #expect(numbers(intake.take(timeoutMicroseconds: nil)) == [1])
        guard case .end = intake.take(timeoutMicroseconds: nil) else {
            Issue.record("a failed intake that is empty is at its end")
            return
        }
    }

    @Test("what was taken counts until it is committed")
    func countsWhatIsBeingCommitted() throws {
        let intake = intake()
        _ = intake.add(try item(1), bytes: 100, rows: 1)
        _ = intake.take(timeoutMicroseconds: 0)
        #expect(intake.uncommittedBytes == 100)
        _ = intake.committed(bytes: 100)
        #expect(intake.uncommittedBytes == 0)
    }

    @Test("once closed it gives what is queued, and then says that this was all")
    func closes() throws {
        let intake = intake()
        _ = intake.add(try item(1), bytes: 1, rows: 1)
        intake.close()
        #expect(numbers(intake.take(timeoutMicroseconds: nil)) == [1])
        for _ in 0..<2 {
            guard case .end = intake.take(timeoutMicroseconds: nil) else {
                Issue.record("a closed intake that is empty is at its end")
                return
            }
        }
    }

    @Test("who waits for work is woken by an item, and by the end")
    func wakesWhoTakes() throws {
        let intake = intake()
        let taken = Watched<[String]>([])
        onThread {
            while true {
                switch intake.take(timeoutMicroseconds: nil) {
                case .batch: taken.change { $0.append("batch") }
                case .timeout: taken.change { $0.append("timeout") }
                case .end:
                    taken.change { $0.append("end") }
                    return
                }
            }
        }
        _ = intake.add(try item(1), bytes: 1, rows: 1)
        try taken.wait("the batch") { $0 == ["batch"] }
        intake.close()
        try taken.wait("the end") { $0 == ["batch", "end"] }
    }
}
