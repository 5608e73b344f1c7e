internal import ApusClient
internal import ApusModel
internal import ArgumentParser
internal import NIOCore

/// `apus history`: what was recorded, from a broker or from a file.
struct HistoryCommand: ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "history",
        abstract: "List recorded messages, from a broker or from a file.",
        discussion: """
            All conditions hold together; the rows come in the order of their seqs. Exits with 2 where nothing matched.

            EXAMPLES
              apus history                                   everything, as a table
              apus history 'sensors/#' --since 1h --last 20
              apus history --since 2026-11-23T08:00 --until 2026-11-23T09:00 --csv
              apus history --header tenant=acme --grep timeout --json | jq -r .text
              apus history --db apus.db --from-seq 1000      read a file, without a broker
            """)

    @Argument(help: "Topic filters: a/b, a/+/c, a/#. Without one, every topic.")
    var filters: [String] = []

    @OptionGroup(title: "Which messages")
    var selection: SelectionOptions

    @Flag(help: "A JSON object a line: payload as text where it is text, else as base64.")
    var json = false

    @Flag(help: "Comma-separated values (RFC 4180), with a header line.")
    var csv = false

    @OptionGroup(title: "The broker")
    var options: SourceOptions

    var console: Console { options.connection.console }

    func validate() throws {
        guard !(json && csv) else { throw ValidationError("--json and --csv exclude each other") }
        do throws(ApusError) {
            for filter in filters { _ = try TopicFilter(filter) }
            _ = try selection.query(filters)
        } catch {
            throw error.validation
        }
    }

    func perform() async throws -> ExitStatus {
        let query = try selection.query(filters)
        let source = try await options.open()
        let output = Output()
        output.watchForReaderGone()
        var rows = RowPrinter(json: json, csv: csv)
        var count = 0
        // Also where it ends with an error: what came is shown.
        defer {
            output.write { rows.finish(to: &$0) }
            output.flush()
        }
        if csv { output.write { MessageCSV.appendHeader(to: &$0) } }
        try await source.forEach(query) { message in
            rows.write(message, to: output)
            count += 1
            return !Interrupts.isRequested
        }
        await source.close()
        if Interrupts.isRequested { return .interrupted }
        if count == 0 { console.note("no message matches") }
        return count > 0 ? .done : .nothingMatched
    }
}

/// Rows of history in the form asked for.
private struct RowPrinter {
    private enum Form {
        case json(MessageJSON)
        case csv(MessageCSV)
        case table
    }

    private let form: Form
    private var table = MessageTable(width: Terminal.columns(1))

    init(json: Bool, csv: Bool) {
        let reader = PayloadReader()
        form = json ? .json(MessageJSON(reader: reader)) : csv ? .csv(MessageCSV(reader: reader)) : .table
    }

    mutating func write(_ message: Message, to output: Output) {
        switch form {
        case .json(let json): output.writeJSON { json.append(message, to: &$0) }
        case .csv(let csv): write(message, csv, to: output)
        case .table: output.write { table.append(message, to: &$0) }
        }
    }

    private func write(_ message: Message, _ csv: MessageCSV, to output: Output) {
        guard output.isTerminal else { return output.write { csv.append(message, to: &$0) } }
        var line: [UInt8] = []
        csv.append(message, to: &line)
        output.write { TerminalText.append(line, to: &$0, newlines: .kept) }
    }

    mutating func finish(to out: inout [UInt8]) { table.finish(to: &out) }
}

/// Conditions on messages.
struct SelectionOptions: ParsableArguments, Sendable {
    @Option(
        help: ArgumentHelp("Received at or after this time, or so long ago.", valueName: "TIME|AGO"),
        transform: parsing(TimeArgument.init))
    var since: TimeArgument?

    @Option(
        help: ArgumentHelp("Received before this time, or so long ago.", valueName: "TIME|AGO"),
        transform: parsing(TimeArgument.init))
    var until: TimeArgument?

    @Option(help: ArgumentHelp("From this seq on.", valueName: "seq"), transform: parsing(SeqArgument.parse))
    var fromSeq: Seq?

    @Option(
        help: ArgumentHelp("Up to and including this seq.", valueName: "seq"), transform: parsing(SeqArgument.parse))
    var toSeq: Seq?

    @Option(help: ArgumentHelp("Only the last so many of what matches.", valueName: "count"))
    var last: Int?

    @Option(help: ArgumentHelp("Media type, or the whole content type as declared.", valueName: "type"))
    var contentType: String?

    @Option(
        help: ArgumentHelp("With this header; repeatable, then all of them.", valueName: "name=value"),
        transform: parsing { text throws(ApusError) in try HeaderArgument.parse(text, separators: ["="]) })
    var header: [Headers.Pair] = []

    @Option(help: ArgumentHelp("Whose payload, as stored, contains this text.", valueName: "text"))
    var grep: String?

    @Option(help: ArgumentHelp("Of the publisher of this name.", valueName: "name"))
    var publisher: String?

    @Option(help: ArgumentHelp("End after so many rows.", valueName: "count"))
    var count: Int?

    func query(_ filters: [String]) throws(ApusError) -> HistoryQuery {
        for (name, value) in [("--last", last), ("--count", count)] {
            guard value.map({ $0 > 0 && $0 <= Int32.max }) ?? true else {
                throw ApusError(.usage, "\(name) takes a number from 1 to \(Int32.max)")
            }
        }
        let now = LocalTime.now()
        var query = HistoryQuery(filters: filters)
        query.conditions.since = since?.time(now: now)
        query.conditions.until = until?.time(now: now)
        query.conditions.fromSeq = fromSeq
        query.conditions.toSeq = toSeq
        query.conditions.last = last
        query.conditions.contentType = contentType
        query.conditions.headers = Headers(header)
        query.conditions.grep = grep
        query.conditions.publisher = publisher
        query.limit = count
        return query
    }
}
