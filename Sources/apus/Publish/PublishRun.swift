internal import ApusClient
internal import ApusModel
internal import NIOCore

/// Publishes everything that a source has, in order, and tells what became of it.
///
/// Where receipts are wanted, or a pace, it waits for each batch. Else batches follow one another without waiting, and
/// it waits when so much is unanswered, and whenever nothing more is at hand: a refusal is told soon, and ends the run.
struct PublishRun {
    private struct Batch {
        let pending: PendingPublish
        /// Of the input.
        let bytes: Int
        let bytesOnWire: Int
    }

    private static let unansweredBytesMax = 8 << 20
    private static let unansweredCountMax = 64 << 10

    private let client: ApusClient
    private let maker: MessageMaker
    private let receipts: ReceiptPrinter
    private var pacer: Pacer?
    private let progress: ProgressBar
    private var tally = PublishTally()
    private var unanswered: [Batch] = []
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
        var inputError: ApusError?
        do {
            while !Interrupts.isRequested, tally.failed == 0 {
                let payloads = try cursor.next(countMax: try await room())
                if payloads.isEmpty { break }
                await publish(payloads, isLast: !cursor.hasMoreAtHand)
            }
        } catch let error as ApusError {
            inputError = error
        } catch is CancellationError {}
        await settle(all: true)
        return await finish(inputError)
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

    private mutating func publish(_ payloads: [RawPayload], isLast: Bool) async {
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
        let waits = isLast || refused != nil || receipts.isWanted || pacer != nil
        if !messages.isEmpty {
            await submit(messages, bytes: payloads.prefix(messages.count).reduce(0) { $0 + $1.count })
        }
        await settle(all: waits)
        if let refused { take([.failure(refused)]) }
    }

    private mutating func submit(_ messages: [OutgoingMessage], bytes: Int) async {
        let bytesOnWire = messages.reduce(0) { $0 + $1.payload.readableBytes }
        progress.handOver(bytes, onWire: bytesOnWire)
        unansweredCount += messages.count
        unansweredBytes += bytes
        let client = client
        // An interrupt does not cut off what is on its way: it ends the run behind it.
        let pending = await Task { await client.submit(messages) }.value
        unanswered.append(Batch(pending: pending, bytes: bytes, bytesOnWire: bytesOnWire))
        pacer?.sent(messages.count)
    }

    /// Takes what is answered, and waits for the oldest batches where there is too much of them.
    private mutating func settle(all: Bool) async {
        while let batch = unanswered.first {
            let isTooMuch =
                unansweredBytes >= Self.unansweredBytesMax || unansweredCount >= Self.unansweredCountMax
            guard all || isTooMuch || batch.pending.isAnswered else { return }
            let results = await batch.pending.results()
            unanswered.removeFirst()
            unansweredCount -= results.count
            unansweredBytes -= batch.bytes
            progress.acknowledge(batch.bytes, onWire: batch.bytesOnWire)
            take(results)
        }
    }

    private mutating func take(_ results: [Result<Receipt, ApusError>]) {
        tally.add(results)
        receipts.print(results)
    }

    private mutating func finish(_ inputError: ApusError?) async -> ExitStatus {
        await client.close()
        progress.finish()
        receipts.flush()
        let error = tally.firstError ?? inputError
        if !Interrupts.isRequested, let error { Console.error(error) }
        if error != nil, tally.succeeded > 0 || tally.failed > 1 || Interrupts.isRequested {
            Console.line("apus: \(tally.text)")
        }
        if Interrupts.isRequested { return .interrupted }
        guard let error else { return .done }
        return tally.succeeded > 0 ? .partlyDone : ExitStatus(error.code)
    }
}
