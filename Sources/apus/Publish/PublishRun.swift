internal import ApusClient
internal import ApusModel
internal import NIOCore

/// Publishes everything that a source has, in order, and tells what became of it.
struct PublishRun {
    private let client: ApusClient
    private let maker: MessageMaker
    private let receipts: ReceiptPrinter
    private var pacer: Pacer?
    private var progress: ProgressBar
    private var acknowledged = 0
    private var failed = 0

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
                try await publish(payloads)
            }
            try await client.flush()
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

    private mutating func publish(_ payloads: [RawPayload]) async throws(ApusError) {
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
        if !messages.isEmpty { try await publish(messages, payloadBytes: payloads) }
        if let refused {
            failed += 1
            throw refused
        }
    }

    private mutating func publish(
        _ messages: [OutgoingMessage], payloadBytes payloads: [RawPayload]
    ) async throws(ApusError) {
        do {
            let answers = try await handOver(messages)
            acknowledged += messages.count
            pacer?.sent(messages.count)
            receipts.print(answers)
            progress.advance(by: payloads.prefix(messages.count).reduce(0) { $0 + $1.count })
        } catch {
            failed += messages.count
            throw error
        }
    }

    /// An interrupt does not cut off what is on its way: it ends the run behind it.
    private func handOver(_ messages: [OutgoingMessage]) async throws(ApusError) -> [Receipt] {
        let client = client
        let task = Task { () async -> Result<[Receipt], ApusError> in
            do throws(ApusError) {
                return .success(try await client.publish(messages))
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
        "\(acknowledged) \(acknowledged == 1 ? "message" : "messages") acknowledged, \(failed) not; then it ended"
    }
}
