import ApusBroker
import ApusModel
import ApusWire
import Testing

@testable import ApusServer

@Suite("Answers that wait for a publisher")
struct PendingAnswersTests {
    private static func run(_ lastID: UInt64?, _ count: UInt64, _ lastSeq: Seq) -> PublishedRun {
        PublishedRun(lastID: lastID, count: count, lastSeq: lastSeq, level: .synced)
    }

    private static func refusal(_ id: UInt64? = nil, _ code: ApusError.Code = .invalidTopic) -> ErrorReply {
        ErrorReply(ApusError(code, "no"), id: id, count: 1)
    }

    /// In short: `3@12` for three that end with seq 12, `!1` for one refused.
    private func texts(_ answers: inout PendingAnswers) -> [String] {
        var texts: [String] = []
        while let frame = answers.next() {
            switch frame {
            case .published(let run): texts.append("\(run.count)@\(run.lastSeq)")
            case .error(let reply): texts.append("!\(reply.count) \(reply.error.code.rawValue)")
            default: texts.append("?")
            }
        }
        return texts
    }

    @Test("become one where runs follow each other")
    func mergesRuns() {
        var answers = PendingAnswers()
        for seq in Seq(1)...1_000 { answers.add(Self.run(seq, 1, seq)) }
        #expect(answers.count == 1)
        #expect(texts(&answers) == ["1000@1000"])
        #expect(answers.isEmpty)
    }

    @Test("do not merge into what was given already")
    func doesNotMergeBackwards() {
        var answers = PendingAnswers()
        answers.add(Self.run(1, 1, 1))
        _ = answers.next()
        answers.add(Self.run(2, 1, 2))
        #expect(texts(&answers) == ["1@2"])
    }

    @Test("keep an error before later runs")
    func keepsErrorsInPlace() {
        var answers = PendingAnswers()
        answers.add(Self.run(1, 1, 1))
        answers.add(Self.refusal(2), .atOnce(behind: 1))
        answers.add(Self.run(3, 1, 2))
        #expect(texts(&answers) == ["1@1", "!1 invalid-topic", "1@2"])
    }

    @Test("of publishes without ids come in the order of the publishes, however the commit cuts them")
    func ordersAnswersWithoutIDs() {
        var answers = PendingAnswers()
        answers.accepted(withoutID: 2)
        answers.add(Self.refusal(), .atOnce(behind: 0))
        answers.accepted(withoutID: 3)
        answers.add(Self.refusal(), .atOnce(behind: 0))
        #expect(answers.next() == nil, "the first publish is not answered yet")
        answers.add(Self.run(nil, 5, 15))
        #expect(texts(&answers) == ["2@12", "!1 invalid-topic", "3@15", "!1 invalid-topic"])
        #expect(answers.isEmpty)
    }

    @Test("of publishes without ids are cut at an error also where all of them are refused")
    func cutsRefusals() {
        var answers = PendingAnswers()
        answers.accepted(withoutID: 2)
        answers.add(Self.refusal(), .atOnce(behind: 0))
        answers.accepted(withoutID: 1)
        answers.add(ErrorReply(ApusError(.storageFull, "full"), count: 3), .committed(1))
        #expect(texts(&answers) == ["!2 storage-full", "!1 invalid-topic", "!1 storage-full"])
    }

    @Test("an error at once where nothing is owed before it")
    func releasesErrorsAtOnce() {
        var answers = PendingAnswers()
        answers.add(Self.refusal(), .atOnce(behind: 0))
        #expect(texts(&answers) == ["!1 invalid-topic"])
    }

    @Test("very many errors behind one publish delay nobody for long")
    func manyDeferredErrors() {
        var answers = PendingAnswers()
        answers.accepted(withoutID: 1)
        for index in 0..<65_536 {
            answers.add(ErrorReply(ApusError(.invalidTopic, "no \(index)"), count: 1), .atOnce(behind: 1))
        }
        let duration = ContinuousClock().measure { answers.add(Self.run(nil, 1, 1)) }
        #expect(duration < .seconds(2), "in proportion to their number, not to its square: \(duration)")
        #expect(answers.count == 65_537)
    }

    @Test("that refuse publishes without ids become one where they say the same")
    func mergesRefusalsWithoutIDs() {
        var answers = PendingAnswers()
        answers.accepted(withoutID: 1)
        for _ in 0..<3 { answers.add(Self.refusal(), .atOnce(behind: 1)) }
        answers.accepted(withoutID: 1)
        answers.add(Self.refusal(), .atOnce(behind: 2))
        answers.add(Self.refusal(nil, .tooMany), .atOnce(behind: 2))
        #expect(answers.count == 3)
        answers.add(Self.run(nil, 2, 2))
        #expect(texts(&answers) == ["1@1", "!3 invalid-topic", "1@2", "!1 invalid-topic", "!1 too-many"])
    }

    @Test("that refuse publishes with ids become one only where nothing accepted lies between them")
    func mergesRefusalsWithIDs() throws {
        var answers = PendingAnswers()
        for id in UInt64(2)...4 { answers.add(Self.refusal(id), .atOnce(behind: 1)) }
        // 5 is accepted, and not answered yet: to refuse "the last two up to 6" would be to refuse it.
        answers.add(Self.refusal(6), .atOnce(behind: 2))
        // The writer's answer to what came before.
        for id in UInt64(1)...2 { answers.add(Self.refusal(id), .committed(1)) }
        answers.add(Self.refusal(5), .committed(2))
        var replies: [String] = []
        while case .error(let reply)? = answers.next() { replies.append("\(reply.id ?? 0)x\(reply.count)") }
        #expect(replies == ["4x3", "6x1", "2x2", "5x1"])
    }

    @Test("weigh what their texts weigh, until they are given")
    func weighsTexts() {
        var answers = PendingAnswers()
        let long = String(repeating: "x", count: 4_000)
        answers.accepted(withoutID: 1)
        answers.add(ErrorReply(ApusError(.invalidTopic, long), count: 1), .atOnce(behind: 1))
        answers.add(ErrorReply(ApusError(.invalidTopic, "no", hint: long), id: 7, count: 1), .atOnce(behind: 1))
        #expect(answers.bytes > 8_000 && answers.bytes < 9_000)
        for id in UInt64(8)...1_000 {
            answers.add(ErrorReply(ApusError(.invalidTopic, "no", hint: long), id: id, count: 1), .atOnce(behind: 1))
        }
        #expect(answers.bytes < 9_000, "what became one is weighed once")
        answers.add(Self.run(nil, 1, 1))
        #expect(answers.bytes > 8_000)
        while answers.next() != nil {}
        #expect(answers.bytes == 0)
    }
}
