internal import ApusModel
internal import ApusServer
internal import ApusStore
internal import Glibc
internal import Logging

/// The broker as a process: opens the log, listens, waits for a signal or a failure, ends in order.
struct BrokerProcess {
    let configuration: Broker.Configuration
    let db: String
    /// Whether a log of an older schema is brought up to date.
    let migrates: Bool

    func run() async throws(ApusError) {
        raiseDescriptorLimit()
        let logger = configuration.logger
        // Before anything is opened or announced: a signal that comes early is obeyed, too.
        let signals = StopSignals()
        let store = try Store.open(path: db, limits: configuration.limits, migrate: migrates, logger: logger)
        let broker: Broker
        do throws(ApusError) {
            broker = try Broker(store: store, configuration: configuration)
        } catch {
            try? store.close()
            throw error
        }
        do throws(ApusError) {
            for address in try await broker.listen() { Console.line("listening on \(address.apusURL)") }
        } catch {
            try? await broker.stop()
            throw error
        }
        Console.line("keeping messages in \(store.path)")
        try await serve(broker, until: signals)
    }

    /// Until a signal asks for the end, or the log fails.
    private func serve(_ broker: Broker, until signals: StopSignals) async throws(ApusError) {
        let failure = await withTaskGroup(of: ApusError?.self) { group in
            group.addTask {
                do throws(ApusError) {
                    try await broker.writerEnded()
                    return nil
                } catch {
                    return error
                }
            }
            group.addTask {
                await signals.first()
                return nil
            }
            let first = await group.next() ?? nil
            if first == nil {
                Console.line("stopping")
                do throws(ApusError) { try await broker.stop() } catch { return error as ApusError? }
            }
            group.cancelAll()
            signals.finish()
            return first
        }
        guard let failure else { return Console.line("stopped") }
        await broker.abandon()
        throw failure
    }

    /// Each connection needs a descriptor: takes as many as the system lets this process have.
    private func raiseDescriptorLimit() {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        limit.rlim_cur = limit.rlim_max
        _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }
}

/// SIGINT and SIGTERM: the first asks for an orderly end, the second ends the process at once.
private final class StopSignals: Sendable {
    private let stream: AsyncStream<Void>
    private let continuation: AsyncStream<Void>.Continuation

    init() {
        let (stream, continuation) = AsyncStream<Void>.makeStream()
        self.stream = stream
        self.continuation = continuation
        let count = Counter()
        Signals.listen {
            // What was acknowledged is on disk: nothing is lost by ending at once.
            if count.increment() > 1 { _exit(ExitStatus.interrupted.rawValue) }
            continuation.yield()
        }
    }

    func first() async {
        for await _ in stream { return }
    }

    func finish() { continuation.finish() }
}
