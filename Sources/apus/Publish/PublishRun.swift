internal import ApusClient
internal import ApusModel
internal import NIOCore

/// Publishes everything that a source has, in order, and tells what became of it.
///
/// Where receipts are wanted, or a pace, it waits for each batch. Else batches follow one another without waiting, and
/// it waits when `unansweredBytesMax` have gathered, and whenever nothing more is at hand: a refusal is told soon.
struct PublishRun {
    private static let unansweredBytesMax = 8 << 20

    private let client: ApusClient
    private let maker: MessageMaker
    private let receipts: ReceiptPrinter
    private var pacer: Pacer?
    private var progress: ProgressBar
    private var acknowledged = 0
    private var failed = 0
    private var unansweredCount = 0
    private var unansweredBytes = 0

    init(
        client: ApusClient, maker: MessageMaker, rate: PublishRate?, receipts: ReceiptPrinter, progress: ProgressBar
    ) {
        self.client = client
        self.maker = maker
        self.receipts = receipts
        self.progress = progress
        pacer = rate.map { Pacer($0, now: .now) }
    }

    mutating func publishAll(_ source: PayloadSource) async throws -> ExitStatus {
        var cursor = PayloadCursor(source)
        do {
            while !Interrupts.isRequested {
                let payloads = try cursor.next(countMax: try await room())
                if payloads.isEmpty { break }
                try await publish(payloads, isLast: !cursor.hasMoreAtHand)
            }
            try await settle()
            return await finish(nil)
        } catch let error as ApusError {
            return await finish(error)
        } catch is CancellationError {
            return await finish(nil)
        }
    }

    /// How many messages may go now; waits until it is at least one.
    private mutating func room() async throws -> Int {
        guard var pacer else { return .max }
        defer { self.pacer = pacer }
        while true {
            let due = pacer.due(now: .now)
            if due > 0 { return due }
            try await Task.sleep(until: pacer.nextDue, clock: .continuous)
        }
    }

    private mutating func publish(_ payloads: [RawPayload], isLast: Bool) async throws(ApusError) {
        var messages: [OutgoingMessage] = []
        messages.reserveCapacity(payloads.count)
        var refused: ApusError?
        for payload in payloads {
            do {
                messages.append(try maker.message(payload))
            } catch {
                refused = error
                break
            }
        }
        let bytes = payloads.prefix(messages.count).reduce(0) { $0 + $1.count }
        if !messages.isEmpty {
            if receipts.isWanted || pacer != nil {
                try await publish(messages, bytes: bytes)
            } else {
                try await enqueue(messages, bytes: bytes)
                if isLast || refused != nil || unansweredBytes >= Self.unansweredBytesMax { try await settle() }
            }
        }
        if let refused {
            failed += 1
            throw refused
        }
    }

    private mutating func publish(_ messages: [OutgoingMessage], bytes: Int) async throws(ApusError) {
        do {
            let answers = try await uninterrupted { client async throws(ApusError) in try await client.publish(messages)
            }
            acknowledged += messages.count
            pacer?.sent(messages.count)
            receipts.print(answers)
            progress.advance(by: bytes)
        } catch {
            failed += messages.count
            throw error
        }
    }

    private mutating func enqueue(_ messages: [OutgoingMessage], bytes: Int) async throws(ApusError) {
        unansweredCount += messages.count
        unansweredBytes += bytes
        do {
            try await uninterrupted { client async throws(ApusError) in try await client.enqueue(messages) }
        } catch {
            failed += unansweredCount
            throw error
        }
    }

    /// Waits for the answers to everything that was enqueued.
    private mutating func settle() async throws(ApusError) {
        guard unansweredCount > 0 else { return }
        let (count, bytes) = (unansweredCount, unansweredBytes)
        unansweredCount = 0
        unansweredBytes = 0
        do {
            try await uninterrupted { client async throws(ApusError) in try await client.flush() }
            acknowledged += count
            progress.advance(by: bytes)
        } catch {
            failed += count
            throw error
        }
    }

    /// An interrupt does not cut off what is on its way: it ends the run behind it.
    private func uninterrupted<T: Sendable>(
        _ work: @escaping @Sendable (ApusClient) async throws(ApusError) -> T
    ) async throws(ApusError) -> T {
        let client = client
        let task = Task { () async -> Result<T, ApusError> in
            do throws(ApusError) {
                return .success(try await work(client))
            } catch {
                return .failure(error)
            }
        }
        return try await task.value.get()
    }

    private mutating func finish(_ error: ApusError?) async -> ExitStatus {
        let unacknowledged = await client.close()
        progress.finish()
        receipts.flush()
        if Interrupts.isRequested {
            if failed > 0 || !unacknowledged.isEmpty { Console.line("apus: \(counts)") }
            return .interrupted
        }
        guard let error else { return .done }
        Console.error(error)
        guard acknowledged > 0 else { return ExitStatus(error.code) }
        Console.line("apus: \(counts)")
        return .partlyDone
    }

    private var counts: String {
        let done = "\(acknowledged) \(acknowledged == 1 ? "message" : "messages") acknowledged"
        // A batch fails with its first refusal; what became of its other messages is not said.
        return failed > 1 ? "\(done); of the next \(failed), some may be recorded" : "\(done), the next one not"
    }
}
