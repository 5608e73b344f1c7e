internal import ApusClient
internal import ApusModel
internal import ArgumentParser
internal import NIOCore

/// `apus pub`: publishes messages.
struct PublishCommand: ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "pub",
        abstract: "Publish messages.",
        discussion: """
            Without -m, -f, -n, -l or -0, all of standard input is one message. It returns when everything is \
            acknowledged: by default when it is on disk.
            What is given as text is declared: -m, and each record of -l and -0 that is UTF-8, are text/plain and \
            utf-8 where the options do not say otherwise. --charset writes them in another charset, and a record that \
            is not UTF-8 is then an error; without it such a record is bytes. What is given as bytes is not looked \
            into: -f and whole input are declared as the options say, and never converted.
            A lost connection is tried again for 30 seconds, or for as long as --wait says. It ends with the first \
            refusal, and says how many messages were recorded, how many were refused and why; it exits with 3 where \
            some were recorded and others not.

            EXAMPLES
              apus pub greetings/en -m hello
              apus pub photos/cat -f cat.jpg --content-type image/jpeg
              tail -f app.log | apus pub logs/app -l
              apus pub greetings/ja -m こんにちは --charset shift_jis
              apus pub report -f r.csv --content-type text/csv --content-encoding gzip
              apus pub load/test -m x --repeat 1000 --rate 100/s -v
            """)

    @Argument(help: "The topic: a/b/c.")
    var topic: String

    @OptionGroup(title: "The payload")
    var input: InputOptions

    @OptionGroup(title: "What is declared about it")
    var declared: DeclarationOptions

    @Option(
        help: ArgumentHelp("none, stored (committed), or synced (fsynced; the default).", valueName: "level"),
        completion: .list(AckLevel.allCases.map(\.name)), transform: parsing(AckLevel.parse))
    var ack = AckLevel.synced

    @Option(
        help: ArgumentHelp("Expires after so long: 30s, 10m, 7d.", valueName: "duration"),
        transform: parsing(DeclarationOptions.ttl))
    var ttl: UInt32?

    @Flag(help: "Keep it as the topic's retained message.")
    var retain = false

    @Option(
        help: ArgumentHelp(
            "Your name as a publisher: what this run sends again after a lost connection is recorded once.",
            valueName: "name"))
    var publisher: String?

    @Option(
        help: ArgumentHelp("At most so many messages a second: 100, 100/s, 5/m.", valueName: "rate"),
        transform: parsing(PublishRate.init))
    var rate: PublishRate?

    @Option(name: .customLong("repeat"), help: ArgumentHelp("Publish everything so many times.", valueName: "count"))
    var repeats = 1

    @Flag(name: [.customShort("v"), .customLong("receipts")], help: "Print a receipt for each message: seq 42 synced.")
    var receipts = false

    @Flag(help: "Print each receipt as a JSON object.")
    var json = false

    @OptionGroup(title: "The broker")
    var connection: ConnectionOptions

    var console: Console { connection.console }

    func validate() throws {
        do throws(ApusError) {
            _ = try Topic(topic)
        } catch {
            throw error.validation
        }
        guard repeats >= 1 else { throw ValidationError("--repeat takes a number from 1 on") }
        if repeats > 1, input.isStream { throw ValidationError("--repeat does not go with -l and -0") }
    }

    func perform() async throws -> ExitStatus {
        // What can be said without a broker is said first.
        let maker = MessageMaker(
            topic: topic, declaration: try declared.declaration(), level: ack, ttlSeconds: ttl ?? 0, retain: retain)
        let source = try input.source(repeats: repeats)
        try maker.check(source)
        let progress = ProgressBar(totalBytes: source.totalBytes, isShown: !connection.quiet)
        let client = try await connection.connect(retry: .while(seconds: 30)) { configuration in
            configuration.publisher = publisher
            if progress.isShown { configuration.onSendProgress = { progress.sent($0, of: $1) } }
        }
        let form: ReceiptPrinter.Form = json ? .json : receipts ? .text : .none
        var run = PublishRun(
            client: client, maker: maker, rate: rate,
            receipts: ReceiptPrinter(form: form, topic: topic), progress: progress)
        return try await run.publishAll(source)
    }
}

/// Where payloads come from.
struct InputOptions: ParsableArguments, Sendable {
    @Option(name: .shortAndLong, help: ArgumentHelp("This text; repeatable.", valueName: "text"))
    var message: [String] = []

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp("This file's bytes; repeatable. - is standard input.", valueName: "file"),
        completion: .file())
    var file: [String] = []

    @Flag(name: [.customShort("n"), .customLong("empty")], help: "An empty payload.")
    var empty = false

    @Flag(name: [.customShort("l"), .customLong("lines")], help: "A message for each line of standard input.")
    var lines = false

    @Flag(name: [.customShort("0"), .customLong("null")], help: "The same, separated by NULs instead of newlines.")
    var null = false

    /// Records of standard input, as they come.
    var isStream: Bool { lines || null }

    func validate() throws {
        let ways = [!message.isEmpty || !file.isEmpty, empty, lines, null].filter { $0 }.count
        guard ways <= 1 else { throw ValidationError("-m and -f, -n, -l and -0 exclude each other") }
        guard file.filter({ $0 == "-" }).count <= 1 else {
            throw ValidationError("standard input can be read once only")
        }
    }

    /// - Throws: `input-output` where a file cannot be read.
    func source(repeats: Int) throws(ApusError) -> PayloadSource {
        if isStream { return .records(RecordReader(separator: null ? 0 : UInt8(ascii: "\n"))) }
        var items = message.map { PayloadSource.Item.text(ByteBuffer(string: $0)) }
        for path in file {
            if path == "-" {
                items.append(try .standardInput())
            } else {
                items.append(.file(path, size: try FileIO.open(path).size))
            }
        }
        if empty { items.append(.bytes(ByteBuffer())) }
        if items.isEmpty { items.append(try .standardInput()) }
        return .items(items, repeats: repeats)
    }
}

/// What is declared about the payloads.
struct DeclarationOptions: ParsableArguments, Sendable {
    @Option(
        name: [.customShort("H"), .long], help: ArgumentHelp("A header; repeatable.", valueName: "name:value"),
        transform: parsing { text throws(ApusError) in try HeaderArgument.parse(text, separators: [":", "="]) })
    var header: [Headers.Pair] = []

    @Option(name: .shortAndLong, help: ArgumentHelp("A key.", valueName: "key"))
    var key: String?

    @Option(help: ArgumentHelp("Media type: application/json.", valueName: "type"))
    var contentType: String?

    @Option(help: ArgumentHelp("Charset of the text: utf-8, shift_jis, utf-16le.", valueName: "name"))
    var charset: String?

    @Option(
        help: ArgumentHelp("gzip and deflate compress the payload; any other name is only declared.", valueName: "name")
    )
    var contentEncoding: String?

    @Flag(help: "The payload is compressed already: --content-encoding only declares it.")
    var precompressed = false

    @Option(help: ArgumentHelp("big or little: of the numbers inside the payload.", valueName: "order"))
    var byteOrder: String?

    @Option(help: ArgumentHelp("The payload's layout, in words its readers know.", valueName: "text"))
    var format: String?

    func validate() throws {
        guard !precompressed || contentEncoding != nil else {
            throw ValidationError("--precompressed goes with --content-encoding")
        }
    }

    func declaration() throws(ApusError) -> Declaration {
        try Declaration(
            Encoding(
                contentType: contentType, charset: charset, contentEncoding: contentEncoding, byteOrder: byteOrder,
                format: format),
            headers: Headers(header), key: key, compresses: !precompressed)
    }

    @Sendable
    static func ttl(_ text: String) throws(ApusError) -> UInt32 {
        let seconds = (try DurationArgument.parse(text) + 999_999) / 1_000_000
        guard seconds >= 1, let ttl = UInt32(exactly: seconds) else {
            throw ApusError(.usage, "\"\(text)\" is no time to live", hint: "It is at least a second.")
        }
        return ttl
    }
}
