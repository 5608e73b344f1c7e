internal import ApusModel

/// What became of the messages of one call, message by message.
struct PublishOutcome: Sendable {
    /// By message; empty where none was ever handed on, and for `enqueue`, which keeps none.
    var receipts: [Receipt] = []
    /// By message: those that were refused, or whose outcome is unknown.
    var failures: [Int: ApusError] = [:]
    /// What ended the whole call: it was cancelled, its time was up, the client is closed.
    var callError: ApusError?

    /// What a call that throws throws.
    var error: ApusError? { callError ?? failures.min { $0.key < $1.key }?.value }

    /// One for each of `count` messages.
    ///
    /// - Parameter refused: messages of the call that were never handed on, by their place in it.
    func results(count: Int, refused: [Int: ApusError] = [:]) -> [Result<Receipt, ApusError>] {
        var next = 0
        return (0..<count).map { index in
            if let error = refused[index] { return .failure(error) }
            defer { next += 1 }
            if let error = failures[next] { return .failure(error) }
            guard next < receipts.count else {
                return .failure(callError ?? ApusError(.internalError, "a publish without a receipt"))
            }
            return .success(receipts[next])
        }
    }
}

extension ApusError {
    private static let unknownHint = "Whether it was recorded is unknown."

    /// The same for a message that was sent and not answered, or was not sent.
    func forMessage(wasSent: Bool) -> ApusError {
        var error = self
        error.isOutcomeUnknown = wasSent
        error.hint = hint ?? (wasSent ? ApusError.unknownHint : "It was not sent.")
        return error
    }
}
