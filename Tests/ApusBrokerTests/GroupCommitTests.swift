import ApusModel
import ApusTesting
import Logging
import Testing

@testable import ApusBroker

@Suite("Group commit")
struct GroupCommitTests {
    private let store = MemoryStore()
    private let port = RecordingPort()
    private let intake: Intake
    private let writer: GroupCommit

    init() {
        var limits = Limits.defaults
        limits.batchRowsMax = 2
        intake = Intake(limits: limits)
        let announcer = Announcer(head: 0)
        announcer.add(port)
        _ = announcer.subscribe(hub: 0)
        writer = GroupCommit(
            store: store, intake: intake, announcer: announcer,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    private func queue(_ topics: [String], firstID: UInt64, from number: UInt64 = 1) throws {
        let submission = try submission(topics, from: number, firstID: firstID)
        _ = intake.add(.publish(submission), bytes: submission.bytes, rows: topics.count)
    }

    private var answers: [ItemAnswer] { port.posted.value.flatMap(\.answers).map(\.answer) }

    @Test("commits what has queued up, in its order, and ends when the intake is closed")
    func commitsInOrder() throws {
        try queue(["a"], firstID: 1)
        try queue(["b", "c"], firstID: 2)
        try queue(["d"], firstID: 4)
        intake.close()
        try writer.run()
        #expect(store.commits == 3, "two rows are the most that fits")
        #expect(port.posted.value.compactMap(\.batch).flatMap { batch in batch.messages.map(\.seq) } == [1, 2, 3, 4])
        #expect(intake.uncommittedBytes == 0)
        let ids = answers.map { answer -> UInt64? in
            guard case .publish(let list) = answer, case .published(let run)? = list.last else { return nil }
            return run.lastID
        }
        #expect(ids == [1, 3, 4])
    }

    @Test("a commit of unknown outcome acknowledges nothing, refuses everybody and ends the writer")
    func refusesEverybodyAfterAnUnknownOutcome() throws {
        for number in UInt64(1)...5 { try queue(["a"], firstID: 1, from: number) }
        store.setFaults { $0.failure = ApusError(.commitUnknown, "the disk is gone") }
        #expect(throws: ApusError(.commitUnknown, "the disk is gone")) { try writer.run() }
        #expect(store.commits == 1, "a failed commit is not tried again, nor is another one begun")
        #expect(answers.count == 5)
        for answer in answers {
            guard case .refused(let error) = answer else {
                Issue.record("acknowledged: \(answer)")
                continue
            }
            #expect(error.code == .commitUnknown)
        }
        #expect(port.posted.value.allSatisfy { $0.batch == nil }, "nothing of it is delivered")
        #expect(intake.uncommittedBytes == 0, "nobody waits for room for ever")
    }

    @Test("a refused commit is answered, and the next one goes on")
    func goesOnAfterARefusal() throws {
        store.setFaults { $0.refusal = ApusError(.storageFull, "the disk is full") }
        try queue(["a", "b"], firstID: 1)
        onThread { [writer] in try? writer.run() }
        try port.posted.wait("the refusal") { $0.count == 1 }
        store.setFaults { $0.refusal = nil }
        try queue(["c"], firstID: 3)
        try port.posted.wait("the commit") { $0.count == 2 }
        intake.close()
        guard case .refused(let error)? = answers.first, case .publish(let list)? = answers.last else {
            Issue.record("a refusal and then an answer: \(answers)")
            return
        }
        #expect(error.code == .storageFull)
        #expect(list == [.published(PublishedRun(lastID: 3, count: 1, lastSeq: 1, level: .synced))])
    }
}
