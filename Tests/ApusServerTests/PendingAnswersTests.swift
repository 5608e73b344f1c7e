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
        answers.add(Self.refusal(2), answersAccepted: 0)
        answers.add(Self.run(3, 1, 2))
        #expect(texts(&answers) == ["1@1", "!1 invalid-topic", "1@2"])
    }

    @Test("of publishes without ids come in the order of the publishes, however the commit cuts them")
    func ordersAnswersWithoutIDs() {
        var answers = PendingAnswers()
        answers.accepted(withoutID: 2)
        answers.add(Self.refusal(), answersAccepted: 0)
        answers.accepted(withoutID: 3)
        answers.add(Self.refusal(), answersAccepted: 0)
        #expect(answers.next() == nil, "the first publish is not answered yet")
        answers.add(Self.run(nil, 5, 15))
        #expect(texts(&answers) == ["2@12", "!1 invalid-topic", "3@15", "!1 invalid-topic"])
        #expect(answers.isEmpty)
    }

    @Test("of publishes without ids are cut at an error also where all of them are refused")
    func cutsRefusals() {
        var answers = PendingAnswers()
        answers.accepted(withoutID: 2)
        answers.add(Self.refusal(), answersAccepted: 0)
        answers.accepted(withoutID: 1)
        answers.add(ErrorReply(ApusError(.storageFull, "full"), count: 3), answersAccepted: 3)
        #expect(texts(&answers) == ["!2 storage-full", "!1 invalid-topic", "!1 storage-full"])
    }

    @Test("an error at once where nothing is owed before it")
    func releasesErrorsAtOnce() {
        var answers = PendingAnswers()
        answers.add(Self.refusal(), answersAccepted: 0)
        #expect(texts(&answers) == ["!1 invalid-topic"])
    }

    @Test("very many errors behind one publish delay nobody for long")
    func manyDeferredErrors() {
        var answers = PendingAnswers()
        answers.accepted(withoutID: 1)
        for _ in 0..<65_536 { answers.add(Self.refusal(), answersAccepted: 0) }
        let duration = ContinuousClock().measure { answers.add(Self.run(nil, 1, 1)) }
        #expect(duration < .seconds(2), "in proportion to their number, not to its square: \(duration)")
        #expect(answers.count == 65_537)
    }
}
