internal import ApusClient
internal import ApusModel
internal import ArgumentParser
internal import Glibc

/// `apus top`: what the broker is doing, live.
struct TopCommand: ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "top",
        abstract: "Watch the broker's traffic, refusals, cursors and log.",
        discussion: """
            Asks for the broker's status again and again, and shows what has changed a second. A figure that this \
            broker does not give is shown as -. On a terminal it redraws in place until Ctrl-C; elsewhere it writes \
            one screen after the other. With --once it takes two looks, one interval apart.

            EXAMPLES
              apus top
              apus top --interval 5 -s apus://broker.example:2787
              apus top --once
              apus top --json | jq '.rates["messages-in"]'
            """)

    @Option(help: ArgumentHelp("Between two looks at the broker.", valueName: "seconds"))
    var interval = 1.0

    @Flag(help: "Show one screen, and end.")
    var once = false

    @Flag(help: "A JSON object for each look: time, seconds, rates, and the status as the broker sent it.")
    var json = false

    @OptionGroup(title: "The broker")
    var connection: ConnectionOptions

    var console: Console { connection.console }

    private static let answerSeconds = 10.0
    /// Of a screen that is no terminal.
    private static let plainColumns = 100
    /// How soon a new size of the window is seen.
    private static let resizeSeconds = 0.2

    func validate() throws {
        guard interval >= 0.1, interval <= 3_600 else {
            throw ValidationError("--interval takes seconds from 0.1 to 3600")
        }
    }

    func perform() async throws -> ExitStatus {
        if once || json || !Terminal.isTerminal(STDOUT_FILENO) { return try await write() }
        return try await watch()
    }

    // MARK: For scripts

    private func write() async throws -> ExitStatus {
        let output = Output()
        output.watchForReaderGone()
        let client = try await connection.connect()
        let server = "\(try connection.endpoint())"
        var before = try await look(client)
        var isFirst = true
        while true {
            try await Task.sleep(for: .seconds(interval))
            let now = try await look(client)
            write(TopInterval(from: before, to: now), server, isFirst: isFirst, to: output)
            output.flush()
            if once { break }
            before = now
            isFirst = false
        }
        _ = await client.close()
        return .done
    }

    private func write(_ interval: TopInterval, _ server: String, isFirst: Bool, to output: Output) {
        let time = LocalTime.now()
        if json { return output.writeJSON { $0 += interval.json(time: time).bytes + [0x0A] } }
        let screen = TopScreen(
            server: server, interval: interval, now: time, width: Terminal.columns(1) ?? TopCommand.plainColumns)
        output.write { $0 += ((isFirst ? "" : "\n") + screen.lines().joined(separator: "\n") + "\n").utf8 }
    }

    // MARK: On a terminal

    private func watch() async throws -> ExitStatus {
        // What happens to the connection is told on the screen.
        var quiet = connection
        quiet.quiet = true
        let client = try await quiet.connect(retry: .forever)
        let server = "\(try connection.endpoint())"
        let terminal = TopTerminal()
        defer { terminal.close() }
        var shown: TopInterval?
        var notice: String?
        while !Task.isCancelled {
            do {
                let now = try await lookIfConnected(client)
                shown = TopInterval(from: shown?.to, to: now)
                notice = nil
            } catch let error as ApusError {
                guard TopCommand.mayPass(error), client.state != .closed else { throw error }
                notice = error.message
                // What is on the screen stays; its rates are not those of now.
                shown = shown.map { TopInterval(from: nil, to: $0.to) }
            } catch is CancellationError {
                break
            }
            await draw(server, shown, notice, on: terminal)
        }
        terminal.close()
        _ = await client.close()
        return .interrupted
    }

    /// Draws, and again when the window's size changes, until the next look is due or the task is cancelled.
    private func draw(_ server: String, _ shown: TopInterval?, _ notice: String?, on terminal: TopTerminal) async {
        let due = ContinuousClock.now + .seconds(interval)
        var drawn: Terminal.Size?
        while !Task.isCancelled {
            let size = terminal.size
            if size != drawn {
                let screen = TopScreen(
                    server: server, interval: shown, notice: notice, now: LocalTime.now(), width: size.columns,
                    height: size.rows)
                terminal.draw(screen.lines())
                drawn = size
            }
            let left = due - ContinuousClock.now
            guard left > .zero else { return }
            try? await Task.sleep(for: min(left, .seconds(TopCommand.resizeSeconds)))
        }
    }

    private func lookIfConnected(_ client: ApusClient) async throws -> TopSnapshot {
        if case .reconnecting(_, let error) = client.state {
            throw ApusError(.connectionLost, "\(error.message); reconnecting")
        }
        return try await look(client)
    }

    private func look(_ client: ApusClient) async throws -> TopSnapshot {
        let text = try await Deadline.run(
            seconds: TopCommand.answerSeconds,
            orThrow: ApusError(
                .timedOut, "the broker did not answer within \(WaitTime.seconds(TopCommand.answerSeconds)) s")
        ) {
            try await client.status()
        }
        let now = ContinuousClock.now - TopCommand.start
        return try TopSnapshot(text, seconds: now / .seconds(1))
    }

    private static let start = ContinuousClock.now

    /// What is worth another look.
    private static func mayPass(_ error: ApusError) -> Bool {
        switch error.code {
        case .connectionLost, .unavailable, .goingAway, .keepAliveExpired, .timedOut, .logBusy, .tooMany: true
        default: false
        }
    }
}
