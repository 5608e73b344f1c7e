internal import ApusClient
internal import ApusModel
internal import ArgumentParser
internal import Glibc
internal import Logging

/// How to reach the broker: the options that all commands of a client share.
struct ConnectionOptions: ParsableArguments, Sendable {
    @Option(
        name: .shortAndLong,
        help: ArgumentHelp(
            "The broker: apus://host[:port], apuss:// for TLS, or just host[:port].",
            discussion:
                "Without it $APUS_SERVER, else \(Endpoint.local). It may say who logs in, apus://user:password@host; but others see a password in the list of processes.",
            valueName: "server"))
    var server: String?

    @OptionGroup var login: LoginOptions

    @Option(
        help: ArgumentHelp(
            "What this client is called, in the broker's log and where rights say %c. Without it $APUS_CLIENT_ID.",
            valueName: "name"))
    var clientID: String?

    @Option(
        help: ArgumentHelp(
            "Trust brokers whose certificate an authority in this PEM file has signed.",
            discussion: "Without it $APUS_CA, else the system's authorities.", valueName: "file"))
    var ca: String?

    @Option(
        help: ArgumentHelp(
            "Show this certificate (PEM) to a broker that asks for one. Without it $APUS_CERT.", valueName: "file"))
    var cert: String?

    @Option(
        help: ArgumentHelp(
            "The key of --cert (PEM), if it is not in the same file. Without it $APUS_KEY.", valueName: "file"))
    var certKey: String?

    @Option(
        help: ArgumentHelp(
            "Wait until the broker is there, for at most so many seconds, or for as long as it takes: --wait, --wait=30.",
            valueName: "seconds"))
    var wait: WaitTime?

    @Flag(name: .shortAndLong, help: "Say nothing on standard error but errors.")
    var quiet = false

    @Flag(help: "Say on standard error what happens to the connection.")
    var verbose = false

    var console: Console { Console(isQuiet: quiet, isVerbose: verbose) }

    /// Whether somebody said which broker.
    var namesServer: Bool { server != nil || getenv("APUS_SERVER").map { $0.pointee != 0 } ?? false }

    /// Not as the option's own transformation: its errors show the value, and that may hold a password.
    func validate() throws {
        if let server { _ = try parsing(Endpoint.init)(server) }
    }

    func endpoint() throws(ApusError) -> Endpoint {
        if let server { return try Endpoint(server) }
        guard let variable = getenv("APUS_SERVER") else { return .local }
        let text = String(cString: variable)
        if text.isEmpty { return .local }
        do {
            return try Endpoint(text)
        } catch {
            throw ApusError(.usage, "$APUS_SERVER: \(error.message)", hint: error.hint)
        }
    }

    /// - Throws: `usage` where files are named on the command line, and the connection is not encrypted.
    func tlsFiles(_ endpoint: Endpoint) throws(ApusError) -> TLSFiles {
        guard endpoint.isTLS || (ca == nil && cert == nil && certKey == nil) else {
            throw ApusError(
                .usage, "--ca, --cert and --cert-key are for TLS, and \(endpoint) is not",
                hint: "Write apuss:// before the host.")
        }
        func value(_ option: String?, _ variable: String) -> String? {
            option ?? getenv(variable).map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
        }
        // A key belongs to the certificate that is named beside it.
        return TLSFiles(
            authorities: value(ca, "APUS_CA"), certificate: value(cert, "APUS_CERT"),
            key: cert == nil ? value(certKey, "APUS_KEY") : certKey)
    }

    /// - Parameter change: to whatever else the command wants, made last.
    func connect(
        retry: Retry = .never, _ change: (inout ClientConfiguration) -> Void = { _ in }
    ) async throws -> ApusClient {
        var configuration = ClientConfiguration(endpoint: try endpoint())
        configuration.tls = try tlsFiles(configuration.endpoint)
        try login.apply(to: &configuration)
        configuration.clientID = try clientID ?? Environment.value("APUS_CLIENT_ID")
        configuration.reconnects = retry != .never
        configuration.waitsForBroker = wait != nil
        configuration.logger = Logger(label: "apus") { _ in SwiftLogNoOpLogHandler() }
        change(&configuration)
        let ready = configuration
        console.detail("connecting to \(ready.endpoint)")
        let client = try await Deadline.run(
            seconds: wait?.seconds,
            orThrow: ApusError(
                .unavailable, "no broker at \(ready.endpoint) within \(wait?.description ?? "") s",
                hint: "Is it running? apus serve starts one.")
        ) {
            try await ApusClient.connect(ready)
        }
        console.detail("connected to \(ready.endpoint)")
        if retry != .never { watch(client, givesUpAfter: retry.seconds(wait)) }
        return client
    }

    /// Tells when the connection is lost and when it is back; ends the client when that takes too long.
    private func watch(_ client: ApusClient, givesUpAfter seconds: Double?) {
        let console = console
        Task.detached {
            var isLost = false
            var patience: Task<Void, any Error>?
            for await state in client.states() {
                switch state {
                case .reconnecting(let attempt, let error):
                    if isLost {
                        console.detail("attempt \(attempt): \(error.message)")
                        continue
                    }
                    console.note("\(error.message); reconnecting")
                    isLost = true
                    guard let seconds else { continue }
                    patience = Task {
                        try await Task.sleep(nanoseconds: UInt64(seconds * 1e9))
                        console.note("no connection for \(WaitTime.seconds(seconds)) s; giving up")
                        _ = await client.close(timeoutMilliseconds: 0)
                    }
                case .connected:
                    if isLost { console.note("connected again") }
                    isLost = false
                    patience?.cancel()
                    patience = nil
                case .connecting, .closed: break
                }
            }
            patience?.cancel()
        }
    }
}

/// Whether a command outlives its connection.
enum Retry: Hashable, Sendable {
    case never
    /// For so many seconds, unless `--wait` says otherwise.
    case `while`(seconds: Double)
    case forever

    /// - Returns: nil for as long as it takes.
    func seconds(_ wait: WaitTime?) -> Double? {
        switch (self, wait) {
        case (.forever, _), (_, .forever): nil
        case (_, .seconds(let seconds)): seconds
        case (.while(let seconds), nil): seconds
        case (.never, nil): 0
        }
    }
}

/// The value of `--wait`; without one it waits for as long as it takes.
enum WaitTime: ExpressibleByArgument, Hashable, Sendable, CustomStringConvertible {
    case forever
    case seconds(Double)

    private static let foreverWord = "forever"

    init?(argument: String) {
        if argument == WaitTime.foreverWord {
            self = .forever
        } else if let seconds = Double(argument), seconds >= 0, seconds <= 1e9 {
            self = .seconds(seconds)
        } else {
            return nil
        }
    }

    var seconds: Double? {
        if case .seconds(let seconds) = self { seconds } else { nil }
    }

    var description: String {
        switch self {
        case .forever: WaitTime.foreverWord
        case .seconds(let seconds): seconds == seconds.rounded() ? "\(Int(seconds))" : "\(seconds)"
        }
    }

    /// ArgumentParser has no options whose value may be left out where an argument follows: `--wait` gets its value here.
    static func spelledOut(_ arguments: [String]) -> [String] {
        let end = arguments.firstIndex(of: "--") ?? arguments.endIndex
        return arguments.enumerated().map { index, argument in
            index < end && argument == "--wait" ? "--wait=\(foreverWord)" : argument
        }
    }
}
