internal import ApusClient
internal import ApusModel
internal import ArgumentParser
internal import Glibc
internal import NIOCore

/// `apus get`: one payload, byte for byte as stored.
struct GetCommand: ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "get",
        abstract: "Write one message's payload, exactly as stored.",
        discussion: """
            Nothing is decoded, decompressed or added. Exits with 2 where no message has that seq.

            EXAMPLES
              apus get 42
              apus get 42 -o photo.jpg
              apus get 42 --db apus.db | gunzip
            """)

    @Argument(help: "The message's seq.", transform: parsing(SeqArgument.parse))
    var seq: Seq

    @Option(name: .shortAndLong, help: ArgumentHelp("Write to this file.", valueName: "file"), completion: .file())
    var output: String?

    @Flag(help: "Write bytes that are not text to a terminal too.")
    var force = false

    @OptionGroup(title: "The broker")
    var options: SourceOptions

    var console: Console { options.connection.console }

    func perform() async throws -> ExitStatus {
        let source = try await options.open()
        var query = HistoryQuery()
        query.conditions.fromSeq = seq
        query.conditions.toSeq = seq
        query.limit = 1
        var found: Message?
        try await source.forEach(query) { message in
            found = message
            return false
        }
        await source.close()
        guard let found else { throw ApusError(.noSuchMessage, "no message has the seq \(seq)") }
        try write(found.payload)
        return .done
    }

    private func write(_ payload: ByteBuffer) throws(ApusError) {
        if let output, output != "-" { return try write(payload, toFile: output) }
        let standardOutput = Output()
        if standardOutput.isTerminal, !force { try refuseToGarble(payload) }
        standardOutput.write { $0.append(contentsOf: payload.readableBytesView) }
        standardOutput.flush()
    }

    private func refuseToGarble(_ payload: ByteBuffer) throws(ApusError) {
        let bytes = Array(payload.readableBytesView)
        var shown: [UInt8] = []
        TerminalText.append(bytes, to: &shown, newlines: .kept)
        guard shown != bytes else { return }
        throw ApusError(
            .usage, "the payload has bytes that would garble the terminal",
            hint: "-o writes it to a file, --force to the terminal all the same; history shows it as text.")
    }

    private func write(_ payload: ByteBuffer, toFile path: String) throws(ApusError) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw FileIO.error("cannot open \(path)", errno: errno) }
        let failure = payload.withUnsafeReadableBytes { FileIO.writeAll($0, to: descriptor) }
        let closed = close(descriptor)
        if let failure { throw FileIO.error("cannot write \(path)", errno: failure) }
        guard closed == 0 else { throw FileIO.error("cannot write \(path)", errno: errno) }
    }
}
