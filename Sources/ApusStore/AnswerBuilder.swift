internal import ApusBroker
internal import ApusModel

/// Collects what is owed to one publisher, in the order of its messages, as runs.
struct AnswerBuilder {
    private(set) var answers: [PublishAnswer] = []
    private var run: PublishedRun?

    mutating func add(_ next: PublishedRun) {
        if run?.merge(next) == true { return }
        endRun()
        run = next
    }

    mutating func refuse(id: UInt64?, _ error: ApusError) {
        endRun()
        answers.append(.refused(id: id, error))
    }

    mutating func endRun() {
        if let run { answers.append(.published(run)) }
        run = nil
    }

    mutating func finish() -> [PublishAnswer] {
        endRun()
        return answers
    }
}
