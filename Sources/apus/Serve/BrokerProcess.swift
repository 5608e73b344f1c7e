internal import ApusModel
internal import ApusSecurity
internal import ApusServer
internal import ApusSettings
internal import ApusStore
internal import Glibc
internal import Logging

/// The broker as a process: opens the log, listens, waits for a signal or a failure, ends in order.
///
/// The composition root: here everything that runs is made and wired.
struct BrokerProcess {
    let settings: Settings
    /// On ``Settings/watchedFiles``, from before they were read.
    let files: FileWatch
    let loader: SettingsLoader
    let configuration: Broker.Configuration
    let control: LogControl

    func run() async throws(ApusError) {
        raiseDescriptorLimit()
        // Before anything is opened or announced: a signal that comes early is obeyed, too.
        let signals = ServeSignals()
        let watch = try await BrokerWatch.start(http: BrokerWatch.HTTP(settings), configuration, control)
        do throws(ApusError) {
            try await run(signals, watch)
        } catch {
            watch.failed(error)
            await watch.end()
            throw error
        }
        await watch.end()
    }

    private func run(_ signals: ServeSignals, _ watch: BrokerWatch) async throws(ApusError) {
        let logger = configuration.logger
        let store = try Store.open(
            path: settings.db.value, limits: configuration.limits, migrate: settings.migrates.value, logger: logger)
        let broker: Broker
        do throws(ApusError) {
            broker = try Broker(store: store, configuration: configuration)
        } catch {
            try? store.close()
            throw error
        }
        watch.opened(broker)
        do throws(ApusError) {
            let urls = try await broker.listen().map(\.url)
            for url in urls { control.announce("listening on \(url)") }
            watch.serves("listening on \(urls.joined(separator: ", "))")
        } catch {
            try? await broker.stop()
            throw error
        }
        control.announce("keeping messages in \(store.path)")
        let reloader = Reloader(
            settings: settings, watch: files, loader: loader, parts: reloadables(broker), logger: logger
        ) { event in
            switch event {
            case .begins: watch.reloads()
            case .ended: watch.reloaded()
            case .took(let file): broker.gauges.read(file, isRefused: false)
            case .refused(let file): broker.gauges.read(file, isRefused: true)
            }
        }
        try await serve(broker, reloader, until: signals, watch)
    }

    /// What takes changes over while it runs.
    private func reloadables(_ broker: Broker) -> [Reloadable] {
        var parts: [Reloadable] = [.log(control), .certificates(broker)]
        if let access = configuration.access as? FileAccessControl { parts.append(.users(access, broker)) }
        return parts
    }

    /// Until a signal asks for the end, or the log fails.
    private func serve(
        _ broker: Broker, _ reloader: Reloader, until signals: ServeSignals, _ watch: BrokerWatch
    ) async throws(ApusError) {
        let control = control
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
                await signals.stopRequest()
                return nil
            }
            let reloading = Task { await reloader.run(signals.reloads) }
            let first = await group.next() ?? nil
            reloading.cancel()
            if first == nil {
                control.announce("stopping")
                watch.stops()
                do throws(ApusError) { try await broker.stop() } catch { return error as ApusError? }
            }
            group.cancelAll()
            signals.finish()
            return first
        }
        guard let failure else { return control.announce("stopped") }
        await broker.abandon()
        throw failure
    }

    /// Each connection needs a descriptor: takes as many as the system lets this process have.
    private func raiseDescriptorLimit() {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        limit.rlim_cur = limit.rlim_max
        _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        for finding in DescriptorCheck.check(configuration.limits) {
            guard let advice = finding.advice else { continue }
            configuration.logger.warning("\(finding.found)", metadata: ["advice": "\(advice)"])
        }
    }
}

/// SIGINT and SIGTERM: the first asks for an orderly end, the second ends the process at once. SIGHUP: read again.
private final class ServeSignals: Sendable {
    private let stops: AsyncStream<Void>
    private let stopContinuation: AsyncStream<Void>.Continuation
    let reloads = ReloadRequests()

    init() {
        let (stops, stopContinuation) = AsyncStream<Void>.makeStream()
        self.stops = stops
        self.stopContinuation = stopContinuation
        let reloads = reloads
        let count = Counter()
        Signals.listen(to: [SIGINT, SIGTERM, SIGHUP]) { number in
            if number == SIGHUP {
                reloads.add(ReloadRequests.signal)
                return
            }
            // What was acknowledged is on disk: nothing is lost by ending at once.
            if count.increment() > 1 { _exit(ExitStatus.interrupted.rawValue) }
            stopContinuation.yield()
        }
    }

    func stopRequest() async {
        for await _ in stops { return }
    }

    func finish() {
        stopContinuation.finish()
        reloads.finish()
    }
}
