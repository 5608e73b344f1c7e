internal import ApusBroker
internal import NIOConcurrencyHelpers
internal import NIOCore

/// Asks every event loop for its figures, and waits for all of them.
///
/// Waiting is for threads that may block, never for an event loop. It is bounded: a loop that does not answer is itself
/// a figure.
final class LoopBoard: Sendable {
    struct Member: Sendable {
        let loop: any EventLoop
        let hub: NIOLoopBound<Hub>
    }

    private let members = NIOLockedValueBox<[Member]>([])
    private let newest = NIOLockedValueBox(LoopFigures())

    func add(_ loop: any EventLoop, _ hub: NIOLoopBound<Hub>) {
        members.withLockedValue { $0.append(Member(loop: loop, hub: hub)) }
    }

    /// Before the loops end: nobody is asked any more.
    func close() { members.withLockedValue { $0 = [] } }

    /// As of the last time that somebody asked.
    var latest: LoopFigures { newest.withLockedValue { $0 } }

    /// - Returns: nil where a loop did not answer in time.
    func gather(timeoutSeconds: Double) -> LoopFigures? {
        let answers = ask(timeoutSeconds: timeoutSeconds) { member, answer in
            member.loop.execute { member.hub.value.figures(answer) }
        }
        guard let answers else { return nil }
        let figures = LoopFigures.merged(answers)
        newest.withLockedValue { $0 = figures }
        return figures
    }

    /// Whether every loop takes its turns.
    func isAlive(timeoutSeconds: Double) -> Bool {
        ask(timeoutSeconds: timeoutSeconds) { member, answer in member.loop.execute { answer(LoopFigures()) } } != nil
    }

    private func ask(
        timeoutSeconds: Double, _ question: (Member, @escaping @Sendable (LoopFigures) -> Void) -> Void
    ) -> [LoopFigures]? {
        let members = members.withLockedValue { $0 }
        let gathering = Gathering(expected: members.count)
        for member in members { question(member) { gathering.add($0) } }
        return gathering.wait(timeoutSeconds: timeoutSeconds)
    }
}

/// Answers that come from several threads.
private final class Gathering: Sendable {
    private let expected: Int
    /// How many have come. Protects `answers`.
    private let present = ConditionLock(value: 0)
    nonisolated(unsafe) private var answers: [LoopFigures] = []

    init(expected: Int) { self.expected = expected }

    func add(_ figures: LoopFigures) {
        present.lock()
        answers.append(figures)
        present.unlock(withValue: answers.count)
    }

    func wait(timeoutSeconds: Double) -> [LoopFigures]? {
        guard present.lock(whenValue: expected, timeoutSeconds: timeoutSeconds) else { return nil }
        defer { present.unlock() }
        return answers
    }
}
