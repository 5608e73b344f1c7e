internal import ApusBroker
internal import NIOConcurrencyHelpers
internal import NIOCore

/// Asks every event loop for its figures, once at a time: to look at every cursor is work, and who asks while that is
/// being done shares the next look.
///
/// Waiting for them is for threads that may block, never for an event loop. It is bounded: a loop that does not answer is
/// itself a figure.
final class LoopBoard: Sendable {
    struct Member: Sendable {
        let loop: any EventLoop
        let hub: NIOLoopBound<Hub>
    }

    private let members = NIOLockedValueBox<[Member]>([])
    private let newest = NIOLockedValueBox(LoopFigures())

    private struct Look {
        let gathering: Gathering
        var askers: [@Sendable () -> Void] = []
    }

    private struct Looks {
        var current: Look?
        var next: Look?
    }

    private let looks = NIOLockedValueBox(Looks())

    func add(_ loop: any EventLoop, _ hub: NIOLoopBound<Hub>) {
        members.withLockedValue { $0.append(Member(loop: loop, hub: hub)) }
    }

    /// Before the loops end: nobody is asked any more.
    func close() { members.withLockedValue { $0 = [] } }

    /// For what needs a loop to come back on; nil when they end.
    var anyLoop: (any EventLoop)? { members.withLockedValue { $0.first?.loop } }

    /// As of the last time that somebody asked.
    var latest: LoopFigures { newest.withLockedValue { $0 } }

    /// - Returns: nil where a loop did not answer in time.
    func gather(timeoutSeconds: Double) -> LoopFigures? {
        ask().wait(timeoutSeconds: timeoutSeconds) == nil ? nil : latest
    }

    /// Brings ``latest`` up to date.
    ///
    /// - Parameter done: called on one of the loops, or at once where there are none.
    func gather(_ done: @escaping @Sendable () -> Void) { _ = ask(done) }

    private func ask(_ done: @escaping @Sendable () -> Void = {}) -> Gathering {
        let (gathering, isFirst) = looks.withLockedValue { looks in
            let isFirst = looks.current == nil
            var look = looks.next ?? Look(gathering: makeGathering())
            look.askers.append(done)
            if isFirst { looks.current = look } else { looks.next = look }
            return (look.gathering, isFirst)
        }
        if isFirst { begin(gathering) }
        return gathering
    }

    private func makeGathering() -> Gathering {
        Gathering(expected: members.withLockedValue { $0.count }) { [self] figures in
            newest.withLockedValue { $0 = LoopFigures.merged(figures) }
            ended()
        }
    }

    private func begin(_ gathering: Gathering) {
        let members = members.withLockedValue { $0 }
        for member in members { member.loop.execute { member.hub.value.figures { gathering.add($0) } } }
        if members.isEmpty { ended() }
    }

    private func ended() {
        let (askers, next) = looks.withLockedValue { looks in
            let askers = looks.current?.askers ?? []
            (looks.current, looks.next) = (looks.next, nil)
            return (askers, looks.current?.gathering)
        }
        for asker in askers { asker() }
        if let next { begin(next) }
    }

    /// Whether every loop takes its turns.
    func isAlive(timeoutSeconds: Double) -> Bool {
        let members = members.withLockedValue { $0 }
        let gathering = Gathering(expected: members.count)
        for member in members { member.loop.execute { gathering.add(LoopFigures()) } }
        return gathering.wait(timeoutSeconds: timeoutSeconds) != nil
    }
}

/// Answers that come from several threads.
private final class Gathering: Sendable {
    private let expected: Int
    private let done: @Sendable ([LoopFigures]) -> Void
    private let answers = ConditionLockedState<[LoopFigures]>([])

    /// - Parameter done: called once, on the thread of the last answer, before anybody who waits goes on.
    init(expected: Int, _ done: @escaping @Sendable ([LoopFigures]) -> Void = { _ in }) {
        self.expected = expected
        self.done = done
    }

    func add(_ figures: LoopFigures) {
        answers.change { answers in
            answers.append(figures)
            if answers.count == expected { done(answers) }
        }
    }

    func wait(timeoutSeconds: Double) -> [LoopFigures]? {
        answers.wait(
            until: { $0.count == expected }, atMostMicroseconds: Int64(timeoutSeconds * 1e6), then: { $0 })
    }
}
