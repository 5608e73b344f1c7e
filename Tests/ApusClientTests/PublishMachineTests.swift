import ApusModel
import ApusWire
import NIOCore
import Testing

@testable import ApusClient

@Suite("The session, publishing")
struct PublishMachineTests {
    private func refusal(_ code: ApusError.Code, id: UInt64, count: UInt64 = 1) -> Frame {
        .error(ErrorReply(ApusError(code, "refused"), id: id, count: count))
    }

    @Test("A run gives consecutive seqs to the publishes that it answers")
    func run() throws {
        var machine = Machine()
        machine.open()
        let first = try machine.publish(["a", "b"])
        let second = try machine.publish(["c"])
        #expect(try machine.written() == [1, 2, 3])
        machine.published(through: 2, count: 2, seq: 11)
        #expect(machine.actions().outcomes[first]?.value?.map(\.seq) == [10, 11])
        machine.published(through: 3, seq: 12)
        #expect(machine.actions().outcomes[second]?.value?.map(\.seq) == [12])
        #expect(machine.session.window.bytes == 0)
    }

    @Test("Publishes without an acknowledgement are done when they are written, and take a place in a run")
    func levelNone() throws {
        var machine = Machine()
        machine.open()
        let before = try machine.publish(["a"])
        let none = try machine.publish(["b"], level: .none)
        let after = try machine.publish(["c"])
        #expect(machine.actions().outcomes.isEmpty)
        _ = try machine.written()
        #expect(machine.actions().outcomes[none]?.value == [Receipt(seq: 0, level: .none)])
        machine.published(through: 3, count: 3, seq: 9)
        let outcomes = machine.actions().outcomes
        #expect(outcomes[before]?.value?.map(\.seq) == [7])
        #expect(outcomes[after]?.value?.map(\.seq) == [9])
    }

    @Test("An error refuses as many pending publishes up to its id as it counts")
    func refusedInTheMiddle() throws {
        var machine = Machine()
        machine.open()
        let tokens = try (0..<4).map { try machine.publish(["\($0)"]) }
        _ = try machine.written()
        machine.receive(refusal(.invalidEncoding, id: 3, count: 2))
        machine.published(through: 4, count: 2, seq: 6)
        let outcomes = machine.actions().outcomes
        #expect(outcomes[tokens[0]]?.value?.map(\.seq) == [5])
        #expect(outcomes[tokens[1]]?.code == .invalidEncoding)
        #expect(outcomes[tokens[2]]?.code == .invalidEncoding)
        #expect(outcomes[tokens[3]]?.value?.map(\.seq) == [6])
    }

    @Test("A batch throws its first refusal only when all of it is answered")
    func partlyRefused() throws {
        var machine = Machine()
        machine.open()
        let token = try machine.publish(["a", "b", "c"])
        _ = try machine.written()
        machine.receive(refusal(.notAllowed, id: 2))
        #expect(machine.actions().outcomes.isEmpty)
        machine.published(through: 3, count: 2, seq: 2)
        #expect(machine.actions().outcomes[token]?.code == .notAllowed)
    }

    @Test("Each message of a batch has its own outcome: recorded, refused with a reason, unknown, not sent")
    func messageByMessage() throws {
        var machine = Machine()
        machine.open()
        let token = try machine.publish(["a", "b", "c", "d", "e"])
        _ = try machine.written(bytes: 1)
        for _ in 0..<3 { _ = try machine.written(bytes: 1) }
        machine.receive(refusal(.notAllowed, id: 2))
        machine.published(through: 3, count: 1, seq: 7)
        // The first one too: an answer goes for all up to its id.
        #expect(machine.actions().outcomes.isEmpty)
        machine.session.connectionLost(ApusError(.connectionLost, "reset"), machine.now)
        machine.session.close(machine.now, machine.now)
        machine.live(.seconds(1))
        #expect(machine.actions().each(token, 5) == ["0", "not-allowed", "7", "connection-lost?", "closed"])
    }

    @Test(
        "A batch that is cancelled or waits too long says of each message whether it was sent",
        arguments: [true, false])
    func cutOff(isCancelled: Bool) throws {
        var machine = Machine { $0.publishTimeout = .seconds(3) }
        machine.open()
        let token = try machine.publish(["a", "b", "c"])
        _ = try machine.written(bytes: 1)
        _ = try machine.written(bytes: 1)
        machine.published(through: 1, seq: 4)
        if isCancelled {
            machine.session.cancelPublish(token, machine.now)
        } else {
            machine.live(.seconds(3))
        }
        let actions = machine.actions()
        let code = isCancelled ? "cancelled" : "timed-out"
        #expect(actions.each(token, 3) == ["4", "\(code)?", code])
        guard case .failure(let error) = actions.outcomes[token] else { throw Unexpected() }
        #expect(error.hint == "1 of its messages had been sent; whether they are recorded is unknown.")
        #expect(error.isOutcomeUnknown)
        #expect(machine.session.window.inFlight == 1)
        #expect(try machine.written().isEmpty)
    }

    @Test("A named publisher's message that waits to be sent again may be recorded already")
    func cutOffBetweenConnections() throws {
        var machine = Machine(publisher: "p")
        machine.open(lastID: 0)
        let token = try machine.publish(["a", "b"])
        _ = try machine.written(bytes: 1)
        machine.session.connectionLost(ApusError(.connectionLost, "reset"), machine.now)
        machine.session.cancelPublish(token, machine.now)
        #expect(machine.actions().each(token, 2) == ["cancelled?", "cancelled"])
    }

    @Test("A batch that is followed goes on with room, and its answers come later")
    func followed() throws {
        var machine = Machine { $0.unsentBytesMax = 300 }
        machine.open()
        let first = try machine.publish(["a", "b"], .followed)
        let second = try machine.publish(["c"], .followed)
        func admitted(_ actions: [ClientSession.Action]) -> [UInt64] {
            actions.compactMap { if case .admitted(let token) = $0 { token } else { nil } }
        }
        var actions = machine.actions()
        #expect(admitted(actions) == [first])
        #expect(actions.outcomes.isEmpty)
        _ = try machine.written()
        machine.receive(refusal(.notAllowed, id: 1))
        machine.published(through: 2, seq: 9)
        actions = machine.actions()
        #expect(actions.each(first, 2) == ["not-allowed", "9"])
        #expect(admitted(actions) == [second])
        // Nothing of it is an enqueued message's failure.
        machine.session.flush(token: 90, machine.now)
        _ = try machine.written()
        machine.published(through: 3, seq: 10)
        for case .flushed(_, let error) in machine.actions() { #expect(error == nil) }
    }

    @Test("A named publisher begins after the last id that is recorded under its name")
    func beginsAfterLastID() throws {
        var machine = Machine(publisher: "p")
        machine.open(lastID: 70)
        try machine.publish(["a", "b"])
        #expect(try machine.written() == [71, 72])
    }

    @Test("A named publisher sends again what was not acknowledged, with the same ids and in order")
    func resends() throws {
        var machine = Machine(publisher: "p")
        machine.open(lastID: 0)
        let tokens = try (0..<5).map { try machine.publish(["\($0)"]) }
        #expect(try machine.written() == [1, 2, 3, 4, 5])
        machine.published(through: 1, seq: 1)
        machine.receive(refusal(.invalidTopic, id: 3))
        _ = machine.actions()
        machine.reconnect(lastID: 2)
        let resolved = machine.actions().outcomes
        #expect(resolved.count == 1)
        #expect(resolved[tokens[1]]?.value == [Receipt(seq: 0, level: .synced, isDuplicate: true)])
        #expect(try machine.written() == [4, 5])
        machine.published(through: 5, count: 2, seq: 4)
        #expect(machine.actions().outcomes[tokens[4]]?.value?.map(\.seq) == [4])
    }

    @Test("Without a name, what was written fails with an unknown outcome, and what was not is sent later")
    func unnamed() throws {
        var machine = Machine()
        machine.open()
        let written = try machine.publish(["a"])
        #expect(try machine.written() == [1])
        let unsent = try machine.publish(["b"])
        machine.reconnect()
        let outcomes = machine.actions().outcomes
        guard case .failure(let error) = outcomes[written] else { throw Unexpected() }
        #expect(error.code == .connectionLost)
        #expect(error.hint?.contains("unknown") == true)
        #expect(outcomes[unsent] == nil)
        #expect(try machine.written() == [2])
        machine.published(through: 2, seq: 8)
        #expect(machine.actions().outcomes[unsent]?.value?.map(\.seq) == [8])
    }

    @Test(
        "A refusal that may pass later makes a named publisher reconnect and send again",
        arguments: [ApusError.Code.storageFull, .logBusy, .commitUnknown])
    func mayPassLater(code: ApusError.Code) throws {
        var machine = Machine(publisher: "p")
        machine.open(lastID: 0)
        let token = try machine.publish(["a"])
        _ = try machine.written()
        var pauses: [NIODeadline] = []
        for _ in 0..<3 {
            machine.receive(refusal(code, id: 1))
            let actions = machine.actions()
            #expect(actions.isDisconnected)
            #expect(actions.outcomes.isEmpty)
            pauses.append(.uptimeNanoseconds(0) + (try #require(machine.session.nextDeadline) - machine.now))
            machine.redial(lastID: 0)
            #expect(try machine.written() == [1])
        }
        // A welcome alone does not make the pauses short again.
        #expect(pauses[2] > pauses[0])
        machine.published(through: 1, seq: 3)
        #expect(machine.actions().outcomes[token]?.value?.map(\.seq) == [3])
    }

    @Test("For a publisher without a name a refusal is a refusal")
    func refusalUnnamed() throws {
        var machine = Machine()
        machine.open()
        let token = try machine.publish(["a"])
        _ = try machine.written()
        machine.receive(refusal(.storageFull, id: 1))
        let actions = machine.actions()
        #expect(actions.outcomes[token]?.code == .storageFull)
        #expect(!actions.isDisconnected)
    }

    @Test("Being fenced is final: the name is somebody else's now", arguments: [true, false])
    func fenced(answersPublish: Bool) throws {
        var machine = Machine(publisher: "p")
        machine.open(lastID: 0)
        let token = try machine.publish(["a"])
        _ = try machine.written()
        machine.receive(
            .error(ErrorReply(.fatal(.fenced, "taken"), id: answersPublish ? 1 : nil, count: answersPublish ? 1 : 0)))
        let actions = machine.actions()
        #expect(actions.outcomes[token]?.code == .fenced)
        #expect(actions.states == [.closed])
        #expect(machine.session.nextDeadline == nil)
    }

    @Test("A last id beyond what was ever sent means that somebody else has the name")
    func lastIDBeyond() throws {
        var machine = Machine(publisher: "p")
        machine.open(lastID: 0)
        let token = try machine.publish(["a"])
        _ = try machine.written()
        machine.reconnect(lastID: 2)
        #expect(machine.actions().outcomes[token]?.code == .fenced)
        #expect(machine.session.isClosed)
    }

    @Test("An answer to what was never sent ends the connection, nothing else", arguments: [UInt64(2), .max])
    func answerFromNowhere(id: UInt64) throws {
        for frame in [
            Frame.published(PublishedRun(lastID: id, count: .max, lastSeq: 1, level: .synced, isDuplicate: false)),
            refusal(.invalidField, id: id, count: .max),
        ] {
            var machine = Machine()
            machine.open()
            try machine.publish(["a", "b"])
            _ = try machine.written(bytes: 1)
            machine.receive(frame)
            #expect(machine.actions().isDisconnected)
        }
    }

    @Test("Publishes wait for room in the order of their calls, and one that is too large goes alone")
    func room() throws {
        let large = String(repeating: "x", count: 1_000)
        var machine = Machine { $0.unsentBytesMax = 400 }
        machine.open()
        try machine.publish(["a"])
        try machine.publish([large])
        try machine.publish(["c"])
        #expect(try machine.written() == [1])
        machine.published(through: 1, seq: 1)
        #expect(try machine.written() == [2])
        machine.published(through: 2, seq: 2)
        #expect(try machine.written() == [3])
        #expect(machine.session.window.bytes <= 400)
    }

    @Test("An enqueue returns when it has room")
    func enqueueRoom() throws {
        var machine = Machine { $0.unsentBytesMax = 200 }
        machine.open()
        func admitted(_ actions: [ClientSession.Action]) -> [UInt64] {
            actions.compactMap { if case .admitted(let token) = $0 { token } else { nil } }
        }
        let first = try machine.publish(["a"], .enqueued)
        let second = try machine.publish(["b"], .enqueued)
        #expect(admitted(machine.actions()) == [first])
        _ = try machine.written()
        machine.published(through: 1, seq: 1)
        #expect(admitted(machine.actions()) == [second])
    }

    @Test("A cancelled publish is taken back where it was not written, and makes room")
    func withdrawn() throws {
        var machine = Machine { $0.unsentBytesMax = 300 }
        machine.open()
        let unsent = try machine.publish(["a", "b"])
        let waiting = try machine.publish(["c"])
        let last = try machine.publish(["d"])
        machine.session.cancelPublish(waiting, machine.now)
        #expect(machine.actions().outcomes[waiting]?.code == .cancelled)
        machine.session.cancelPublish(unsent, machine.now)
        #expect(machine.actions().outcomes[unsent]?.code == .cancelled)
        #expect(try machine.written() == [3])
        machine.published(through: 3, seq: 1)
        #expect(machine.actions().outcomes[last]?.value?.count == 1)
        #expect(machine.session.window.isEmpty)
    }

    @Test("A cancellation that crosses the end of an enqueue takes nothing back")
    func enqueueNotWithdrawn() throws {
        var machine = Machine()
        machine.open()
        let token = try machine.publish(["a"], .enqueued)
        machine.session.cancelPublish(token, machine.now)
        #expect(try machine.written() == [1])
    }

    @Test("A publish that waits too long says that the broker is not reading")
    func timesOut() throws {
        var machine = Machine {
            $0.unsentBytesMax = 200
            $0.publishTimeout = .seconds(3)
        }
        machine.open()
        let first = try machine.publish(["a"])
        let second = try machine.publish(["b"])
        #expect(try machine.written() == [1])
        machine.live(.milliseconds(2_999))
        #expect(machine.actions().outcomes.isEmpty)
        machine.live(.milliseconds(1))
        let outcomes = machine.actions().outcomes
        guard case .failure(let error) = outcomes[second] else { throw Unexpected() }
        #expect(error.code == .timedOut)
        #expect(error.message.contains("not reading"))
        #expect(outcomes[first]?.code == .timedOut)
    }

    @Test("A flush ends when everything before it is answered, with the first failure of what was enqueued")
    func flush() throws {
        var machine = Machine()
        machine.open()
        try machine.publish(["a"], .enqueued)
        try machine.publish(["b"], .enqueued)
        machine.session.flush(token: 90, machine.now)
        _ = try machine.written()
        try machine.publish(["c"])
        machine.receive(refusal(.notAllowed, id: 1))
        func flushed(_ actions: [ClientSession.Action]) -> [ApusError.Code?] {
            actions.compactMap { if case .flushed(_, let error) = $0 { .some(error?.code) } else { nil } }
        }
        #expect(flushed(machine.actions()).isEmpty)
        machine.published(through: 2, seq: 1)
        #expect(flushed(machine.actions()) == [.notAllowed])
        machine.session.flush(token: 91, machine.now)
        machine.session.cancelFlush(91)
        #expect(flushed(machine.actions()) == [.cancelled])
    }

    @Test("A message that the broker cannot take is refused before anything is sent")
    func checkedBefore() throws {
        func code(_ message: OutgoingMessage, _ limits: [String: UInt64] = [:]) -> ApusError.Code? {
            do throws(ApusError) {
                _ = try PreparedBatch([OutgoingMessage("fine"), message], limits: limits)
                return nil
            } catch {
                return error.code
            }
        }
        #expect(code(OutgoingMessage("x", topic: "a/+")) == .invalidTopic)
        #expect(code(OutgoingMessage("x", topic: "")) == .invalidTopic)
        #expect(throws: ApusError.self) { try PreparedBatch([OutgoingMessage("x", topic: "")], limits: [:]) }
        #expect(code(OutgoingMessage("four!", topic: "a"), ["max-message-bytes": 4]) == .messageTooLarge)
        #expect(code(OutgoingMessage("four", topic: "a"), ["max-message-bytes": 4]) == nil)
        let long = String(repeating: "v", count: 65_520)
        #expect(code(OutgoingMessage(topic: "a", text: "x", headers: ["h": long])) == .headerTooLarge)
        #expect(code(OutgoingMessage(topic: "a", text: "x", key: long)) == .headerTooLarge)
    }

    @Test("The size of a header is foreseen exactly")
    func headerSize() throws {
        var message = OutgoingMessage("x", topic: "topic/é")
        message.encoding = try Encoding(contentType: "text/plain", charset: "utf-8", byteOrder: "big", format: "<q")
        message.headers = ["a": "b"]
        message.key = "key"
        message.ttlSeconds = 9
        var out = ByteBuffer()
        var encoder = PublishEncoder()
        let prepared = try PreparedBatch([message], limits: [:])
        encoder.write(message, headers: prepared.headers[0], id: 1, into: &out)
        let length = UInt64(try #require(out.getInteger(at: 0, as: UInt16.self)))
        #expect(throws: Never.self) { try PreparedBatch([message], limits: ["max-header-bytes": length]) }
        #expect(throws: ApusError.self) { try PreparedBatch([message], limits: ["max-header-bytes": length - 1]) }
    }

    @Test("Whatever happens, every call gets exactly one outcome and the bytes come back", arguments: UInt64(1)...60)
    func anything(seed: UInt64) throws {
        var random = Backoff(milliseconds: 1...1_000_000, seed: seed)
        func draw(_ bound: Int) -> Int { random.next() % bound }
        var machine = Machine(publisher: seed % 2 == 0 ? "p" : nil) {
            $0.unsentBytesMax = 2_000
            if seed % 3 == 0 { $0.publishTimeout = .seconds(30) }
        }
        machine.open(lastID: 0)
        var waiting: Set<UInt64> = []
        var recorded: UInt64 = 0
        for _ in 0..<400 where !machine.session.isClosed {
            switch draw(10) {
            case 0...3:
                let texts = (0..<draw(4)).map { String(repeating: "x", count: $0 * 150) }
                let token = try machine.publish(texts, level: draw(5) == 0 ? .none : .synced)
                waiting.insert(token)
            case 4, 5:
                recorded = max(recorded, try machine.written(bytes: 1 + draw(600)).last ?? 0)
            case 6 where machine.session.window.inFlight > 0:
                let window = machine.session.window
                let id = window.base + UInt64(draw(Int(window.writtenThrough + 1 - window.base)))
                if draw(4) == 0 {
                    machine.receive(refusal(.invalidField, id: id, count: UInt64(draw(3))))
                } else {
                    machine.published(through: id, count: UInt64(draw(4)), seq: UInt64(draw(3)))
                }
            case 7:
                if let token = waiting.randomElement() { machine.session.cancelPublish(token, machine.now) }
            case 8:
                machine.reconnect(lastID: min(recorded, machine.session.window.writtenThrough))
            default: machine.live(.milliseconds(Int64(draw(5_000))))
            }
            for case .published(let outcome) in machine.actions() where !outcome.isDetached {
                #expect(waiting.remove(outcome.token) != nil)
            }
            #expect(machine.session.window.bytes >= 0)
        }
        machine.session.close(machine.now, machine.now)
        machine.live(.seconds(1))
        for case .published(let outcome) in machine.actions() { #expect(waiting.remove(outcome.token) != nil) }
        #expect(waiting.isEmpty)
        #expect(machine.session.isClosed)
        #expect(machine.session.window.bytes == 0)
    }
}
