internal import ApusClient
internal import ApusModel
internal import ArgumentParser

/// `apus sub`: shows messages as they come, from any point of the log.
struct SubscribeCommand: ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "sub",
        abstract: "Show messages, live or from any point of the past.",
        discussion: """
            One message a line. Text is decoded by its declared charset and printed as UTF-8; gzip and deflate are \
            undone. Without a declaration, what is valid UTF-8 is text. On a terminal, control characters are shown \
            as \\x1b, and a payload that is not text as <21 bytes image/png: 89504e47…>. In a pipe or a file, a \
            payload that is not text is its bytes as stored; --raw gives the exact bytes of every payload. A lost \
            connection is tried again until it is back, and goes on behind the last message.

            \(MessageFormat.help)

            EXAMPLES
              apus sub -v '#'                               everything, with topics
              apus sub sensors/+/temp --last 20             the last 20, then live
              apus sub orders/# --since 10m --exit-at-end   the last ten minutes, then end
              apus sub alarms -C 1 -W 30                    wait for one, at most 30 s
              apus sub 'log/#' --json | jq -r .text
              apus sub 'log/#' -F '%d %t %s\\n'
            """)

    @Argument(help: "Topic filters: a/b, a/+/c, a/#.")
    var filters: [String]

    @OptionGroup(title: "Where to start")
    var start: StartOptions

    @Option(
        name: [.customShort("C"), .customLong("count")],
        help: ArgumentHelp("End after so many messages.", valueName: "count"))
    var count: UInt64?

    @Option(
        name: [.customShort("W"), .customLong("timeout")],
        help: ArgumentHelp(
            "End after so many seconds: with -C it exits with 27 if they were not enough, without with 2 if none came.",
            valueName: "seconds"))
    var seconds: Double?

    @Flag(help: "End when everything recorded has been shown.")
    var exitAtEnd = false

    @OptionGroup(title: "How to show it")
    var style: StyleOptions

    @OptionGroup(title: "The broker")
    var connection: ConnectionOptions

    var console: Console { connection.console }

    func validate() throws {
        do throws(ApusError) {
            for filter in filters { _ = try TopicFilter(filter) }
            _ = try start.position()
        } catch {
            throw error.validation
        }
        guard count != 0 else { throw ValidationError("-C takes a number from 1 on") }
        guard seconds.map({ $0 > 0 && $0 < 1e9 }) ?? true else { throw ValidationError("-W takes seconds above 0") }
    }

    func perform() async throws -> ExitStatus {
        let output = Output()
        output.watchForReaderGone()
        defer { output.flush() }
        let counter = Counter()
        do {
            return try await Deadline.run(seconds: seconds, orThrow: TimeIsUp()) {
                try await follow(output, counter)
            }
        } catch is TimeIsUp {
            if count != nil { return .timedOut }
            return counter.value > 0 ? .done : .nothingMatched
        }
    }

    private struct TimeIsUp: Error {}

    private func follow(_ output: Output, _ counter: Counter) async throws -> ExitStatus {
        let client = try await connection.connect(retry: .forever)
        let subscription = try await client.subscribe(filters, from: try start.position())
        console.detail("subscribed; the next seq is at least \(subscription.next)")
        var printer = MessagePrinter(style: try style.style(), output: output, console: console)
        events: for try await event in subscription {
            switch event {
            case .message(let message):
                printer.print(message)
                if counter.increment() == count { break events }
            case .gap(let from, let through, let count, let reason):
                console.note(gapText(from, through, count, reason))
            case .caughtUp(let seq):
                console.detail("caught up at seq \(seq)")
                if exitAtEnd { break events }
            }
        }
        if Interrupts.isRequested || Task.isCancelled { return .interrupted }
        output.flush()
        _ = await client.close()
        if counter.value == 0 { console.note("no message matches") }
        return counter.value > 0 ? .done : .nothingMatched
    }

    private func gapText(_ from: Seq, _ through: Seq, _ count: UInt64, _ reason: String) -> String {
        let seqs = from == through ? "seq \(from)" : "seqs \(from) to \(through)"
        return "gap: \(count) \(count == 1 ? "message" : "messages") of \(seqs) not delivered (\(reason))"
    }
}

/// Where a subscription begins.
struct StartOptions: ParsableArguments, Sendable {
    @Option(
        help: ArgumentHelp(
            "now (the default), start, last-per-topic (retained), a seq, a time, or how long ago.",
            valueName: "now|start|last-per-topic|SEQ|TIME|AGO"),
        transform: parsing(StartArgument.parse))
    var from: StartPosition?

    @Option(
        help: ArgumentHelp("From a time, or how long ago: --since 10m.", valueName: "TIME|AGO"),
        transform: parsing(TimeArgument.init))
    var since: TimeArgument?

    @Option(help: ArgumentHelp("From the last so many matching messages.", valueName: "count"))
    var last: Int?

    func position() throws(ApusError) -> StartPosition {
        guard last.map({ $0 >= 0 && $0 <= Int32.max }) ?? true else {
            throw ApusError(.usage, "--last takes a number from 0 to \(Int32.max)")
        }
        return try StartArgument.position(from: from, since: since, last: last)
    }
}

/// How messages are shown.
struct StyleOptions: ParsableArguments, Sendable {
    @Flag(name: [.customShort("v"), .customLong("topics")], help: "The topic before each message.")
    var withTopic = false

    @Option(
        name: [.customShort("F"), .customLong("output-format")],
        help: ArgumentHelp("printf-like; see FORMAT.", valueName: "format"),
        transform: parsing(MessageFormat.init))
    var format: MessageFormat?

    @Flag(name: [.customShort("x"), .customLong("hex")], help: "The payload as a hex dump.")
    var hex = false

    @Flag(help: "A JSON object a line: payload as text where it is text, else as base64.")
    var json = false

    @Flag(help: "The payload's bytes as they came, nothing between them.")
    var raw = false

    func style() throws(ApusError) -> MessageStyle {
        guard [format != nil, hex, json, raw].filter({ $0 }).count <= 1 else {
            throw ApusError(.usage, "-F, -x, --json and --raw exclude each other")
        }
        if let format { return .format(format) }
        if hex { return .hex(withTopic: withTopic) }
        if json { return .json }
        return raw ? .raw : .line(withTopic: withTopic)
    }

    func validate() throws {
        do throws(ApusError) {
            _ = try style()
        } catch {
            throw error.validation
        }
    }
}
