import ApusBroker
import ApusModel
import ApusStore
import Testing

@Suite("Publishers with a name")
struct PublisherTests {
    private func numbered(_ id: UInt64) -> Draft { Draft("t", "m\(id)", id: id) }

    @Test("What is sent again is recorded once, also after a restart")
    func sentAgain() throws {
        let log = try TestLog()
        let first = try log.store.openPublisher("p")
        #expect(first.lastID == 0)
        try log.store.publish((1...5).map(numbered), publisher: first.handle)
        try log.reopen()
        let second = try log.store.openPublisher("p")
        #expect(second.lastID == 5)
        let outcome = try log.store.publish((3...7).map(numbered), publisher: second.handle)
        #expect(
            outcome.runs == [
                PublishedRun(lastID: 5, count: 3, lastSeq: 0, level: .synced, isDuplicate: true),
                PublishedRun(lastID: 7, count: 2, lastSeq: 7, level: .synced),
            ])
        #expect(try log.store.readAll().map(\.payload) == (1...7).map { "m\($0)" })
        #expect(try log.store.readAll().allSatisfy { $0.publisher == "p" })
    }

    @Test("The last id of a killed broker is that of its last recorded message")
    func killed() throws {
        let log = try TestLog()
        let handle = try log.store.openPublisher("p").handle
        try log.store.publish((1...5).map { Draft("t", id: $0) }, publisher: handle)
        let store = try TestLog.open(try log.copyAsKilled())
        #expect(try store.openPublisher("p").lastID == 5)
        try store.close()
    }

    @Test("Opening a name fences whoever had it, and nobody else")
    func fencing() throws {
        let log = try TestLog()
        let old = try log.store.openPublisher("p").handle
        let other = try log.store.openPublisher("q").handle
        let sameNameOfAnotherUser = try log.store.openPublisher("p", user: "v").handle
        let new = try log.store.openPublisher("p").handle
        let refused = try log.store.publish([Draft(id: 1)], publisher: old).refusals
        #expect(refused.map(\.code) == [.fenced] && refused[0].isFatal)
        for handle in [new, other, sameNameOfAnotherUser] {
            #expect(try log.store.publish([Draft(id: 1)], publisher: handle).refusals.isEmpty)
        }
    }

    @Test("In one commit, what came before the opening counts and what comes after it is fenced")
    func openingInTheMiddle() throws {
        let log = try TestLog()
        let old = try log.store.openPublisher("p").handle
        let outcome = try log.store.append([
            try submission([Draft(id: 1), Draft(id: 2)], publisher: old),
            .openPublisher(OpenPublisher(connection: connection, user: "u", name: "p")),
            try submission([Draft(id: 3)], publisher: old),
        ])
        guard case .opened(let new, let lastID) = outcome.answers[1] else { throw Unexpected(outcome.answers) }
        #expect(lastID == 2)
        guard case .refused(let error) = outcome.answers[2] else { throw Unexpected(outcome.answers) }
        #expect(error.code == .fenced)
        #expect(try log.store.publish([Draft(id: 3)], publisher: new).batch?.through == 3)
    }

    @Test("After a refusal that may pass later, nothing behind it is recorded: ids stay a prefix")
    func refusedInTheMiddle() throws {
        let log = try TestLog()
        let handle = try log.store.openPublisher("p").handle
        let bystander = try log.store.openPublisher("q").handle
        log.disk.fail(.write, .wal, .init(code: Code.full))
        #expect(
            try log.store.publish((1...50).map { Draft(id: $0) }, publisher: handle).refusals.map(\.code)
                == [.storageFull])
        log.disk.heal()
        let behind = try log.store.publish((51...100).map { Draft(id: $0) }, publisher: handle)
        #expect(behind.batch == nil && behind.refusals.count == 1 && behind.refusals[0].isFatal)
        #expect(try log.store.publish([Draft(id: 1)], publisher: bystander).refusals.isEmpty)
        let again = try log.store.openPublisher("p")
        #expect(again.lastID == 0)
        let outcome = try log.store.publish((1...100).map { Draft(id: $0) }, publisher: again.handle)
        #expect(outcome.runs.map(\.count) == [100] && outcome.runs[0].isDuplicate == false)
    }

    @Test("A refusal that lasts uses its id up and stands in its place among the answers")
    func lastingRefusal() throws {
        var limits = Limits.defaults
        limits.topicsMax = 1
        let log = try TestLog(limits: limits)
        let handle = try log.store.openPublisher("p").handle
        let outcome = try log.store.publish(
            [Draft("a", id: 1), Draft("b", id: 2), Draft("a", id: 3), Draft("b", id: 4)], publisher: handle)
        guard case .publish(let answers) = outcome.answers[0] else { throw Unexpected(outcome.answers) }
        #expect(answers.count == 4)
        #expect(answers[0] == .published(PublishedRun(lastID: 1, count: 1, lastSeq: 1, level: .synced)))
        guard case .refused(let id, let error) = answers[1] else { throw Unexpected(answers) }
        #expect(id == 2 && error.code == .tooMany && !error.mayPassLater)
        #expect(answers[2] == .published(PublishedRun(lastID: 3, count: 1, lastSeq: 2, level: .synced)))
        let again = try log.store.openPublisher("p")
        #expect(again.lastID == 4)
        let repeated = try log.store.publish((1...4).map { Draft("b", id: $0) }, publisher: again.handle)
        #expect(repeated.runs.map(\.isDuplicate) == [true, true])
        #expect(repeated.refusals.map(\.code) == [.tooMany, .tooMany], "what was refused is not said to be recorded")
    }

    @Test("What its connection refused is refused again, also after a restart and after a kill")
    func refusedByItsConnection() throws {
        let log = try TestLog()
        let handle = try log.store.openPublisher("p").handle
        guard case .publish(var item) = try submission([Draft(id: 3), Draft(id: 6)], publisher: handle) else { return }
        for id in [UInt64(1), 2, 4] { item.refused.add(id, .notAllowed) }
        item.refused.add(5, .invalidEncoding)
        _ = try log.store.append([.publish(item)])
        func check(_ store: Store) throws {
            let (handle, lastID) = try store.openPublisher("p")
            #expect(lastID == 6)
            let outcome = try store.publish((1...7).map { Draft(id: $0) }, publisher: handle)
            guard case .publish(let answers) = outcome.answers[0] else { throw Unexpected(outcome.answers) }
            let texts = answers.map { answer in
                switch answer {
                case .published(let run): "\(run.isDuplicate ? "known" : "new") \(run.lastID ?? 0)"
                case .refused(let id, let error): "\(error.code.rawValue) \(id ?? 0)"
                }
            }
            #expect(
                texts == [
                    "not-allowed 1", "not-allowed 2", "known 3", "not-allowed 4", "invalid-encoding 5", "known 6",
                    "new 7",
                ])
        }
        let killed = try TestLog.open(try log.copyAsKilled())
        try check(killed)
        try killed.close()
        try log.reopen()
        try check(log.store)
    }

    @Test("A refusal that is not committed uses nothing up")
    func refusalsRollBack() throws {
        let log = try TestLog()
        let handle = try log.store.openPublisher("p").handle
        guard case .publish(var item) = try submission([Draft(id: 2)], publisher: handle) else { return }
        item.refused.add(1, .notAllowed)
        log.disk.fail(.write, .wal, .init(code: Code.full))
        #expect(try log.store.append([.publish(item)]).refusals.map(\.code) == [.storageFull])
        log.disk.heal()
        let again = try log.store.openPublisher("p")
        #expect(again.lastID == 0)
        #expect(
            try log.store.publish([Draft(id: 1)], publisher: again.handle).runs.map(\.isDuplicate) == [false])
    }

    @Test("Messages without an id are recorded each time, those of level none are in no run")
    func withoutID() throws {
        let log = try TestLog()
        let outcome = try log.store.publish([
            Draft("t", "1"), Draft("t", "2", level: .none), Draft("t", "3"), Draft("t", "4"),
        ])
        #expect(
            outcome.runs == [
                PublishedRun(lastID: nil, count: 1, lastSeq: 1, level: .synced),
                PublishedRun(lastID: nil, count: 2, lastSeq: 4, level: .synced),
            ])
        #expect(try log.store.readAll().count == 4)
    }

    @Test("What of level none comes again is in no run either, and not recorded")
    func duplicateWithoutAnswer() throws {
        let log = try TestLog()
        let handle = try log.store.openPublisher("p").handle
        let drafts = [Draft("t", "1", level: .none, id: 1), Draft("t", "2", id: 2)]
        #expect(try log.store.publish(drafts, publisher: handle).runs.map(\.lastID) == [2])
        let again = try log.store.publish(drafts, publisher: handle).runs
        #expect(again.map(\.lastID) == [2] && again.map(\.count) == [1] && again.map(\.isDuplicate) == [true])
        #expect(try log.store.readAll().count == 2)
    }

    @Test("There are at most max-publishers names")
    func publishersMax() throws {
        var limits = Limits.defaults
        limits.publishersMax = 2
        let log = try TestLog(limits: limits)
        _ = try log.store.openPublisher("p")
        _ = try log.store.openPublisher("q")
        let open = IntakeItem.openPublisher(OpenPublisher(connection: connection, user: "u", name: "r"))
        #expect(try log.store.append([open]).refusals.map(\.code) == [.tooMany])
        _ = try log.store.openPublisher("q")
        #expect(try log.store.status().publishers == 2)
    }

    @Test("A name that nobody used for long is forgotten at opening and at rest; others are not")
    func idleNames() throws {
        let log = try TestLog()
        let old = try log.store.openPublisher("old").handle
        let used = try log.store.openPublisher("used").handle
        try log.store.publish([Draft(id: 7)], publisher: old)
        log.clock.advance(seconds: 20 * 86_400)
        try log.store.publish([Draft(id: 9)], publisher: used)
        log.clock.advance(seconds: 20 * 86_400)
        try log.store.publish([Draft()])
        log.monotonic.advance(seconds: 3_601)
        _ = try log.store.rest()
        _ = try log.store.rest()
        #expect(try log.store.status().publishers == 1)
        #expect(try log.store.publish([Draft(id: 8)], publisher: old).refusals.map(\.code) == [.fenced])
        #expect(try log.store.openPublisher("old").lastID == 0)
        #expect(try log.store.openPublisher("used").lastID == 9)
        // Nothing was recorded since: it may as well be the clock that is wrong.
        log.clock.advance(seconds: 40 * 86_400)
        try log.reopen()
        #expect(try log.store.status().publishers == 2)
        try log.store.publish([Draft()])
        try log.reopen()
        #expect(try log.store.status().publishers == 0)
    }

    @Test("Ids of forgotten publishers, and of topics, are never used for others")
    func idsAreNotReused() throws {
        let log = try TestLog()
        let first = try log.store.openPublisher("first").handle
        log.clock.advance(seconds: 40 * 86_400)
        try log.store.publish([Draft()])
        try log.reopen()
        #expect(try log.store.openPublisher("second").handle.rowID > first.rowID)
    }
}
