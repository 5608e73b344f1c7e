internal import ApusClient
internal import ApusModel
internal import ArgumentParser
internal import Glibc

/// `apus health`: whether a broker serves, for whatever watches over it.
struct HealthCommand: ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "health",
        abstract: "Ask whether the broker serves, and exit accordingly.",
        discussion: """
            Connects, greets, and waits for the answer. Exits with 0 if there is one, with 69 if there is no broker, \
            with 27 if it does not answer in time. Without credentials, a broker that asks for them serves; with \
            credentials that it refuses, or where one of both does not trust the other's certificate, the code is 77.

            EXAMPLES
              apus health && echo serving
              apus health -s apus://broker.example:2787 -W 2
              HEALTHCHECK CMD ["apus", "health", "-q"]       in a Dockerfile
            """)

    @Option(
        name: [.customShort("W"), .customLong("timeout")],
        help: ArgumentHelp("Wait for the answer for at most so many seconds.", valueName: "seconds"))
    var seconds = 5.0

    @OptionGroup(title: "The broker")
    var connection: ConnectionOptions

    var console: Console { connection.console }

    func validate() throws {
        guard seconds > 0, seconds <= 3_600 else { throw ValidationError("-W takes seconds from above 0 to 3600") }
    }

    func perform() async throws -> ExitStatus {
        let endpoint = try connection.endpoint()
        let began = ContinuousClock.now
        let asksForLogin = try await asksForLogin(endpoint)
        let milliseconds = Int((ContinuousClock.now - began) / .milliseconds(1))
        if !connection.quiet {
            let output = Output()
            let login = asksForLogin ? ", to those who log in" : ""
            output.write { $0 += "\(endpoint) serves\(login) (\(milliseconds) ms)\n".utf8 }
            output.flush()
        }
        return .done
    }

    /// - Returns: whether the broker is there, but only talks to those who log in.
    /// - Throws: `timed-out`, `not-allowed`, else `unavailable`: each in one line, for a log.
    private func asksForLogin(_ endpoint: Endpoint) async throws -> Bool {
        do {
            let client = try await Deadline.run(seconds: seconds, orThrow: tooLate(endpoint)) {
                // The bound is the one above; the library's own would call it unavailable.
                try await connection.connect { $0.connectTimeoutMilliseconds = Int(seconds * 1_000) + 5_000 }
            }
            _ = await client.close(timeoutMilliseconds: 0)
            return false
        } catch let error as ApusError {
            switch error.code {
            case .notAllowed where !hasCredentials(endpoint): return true
            case .notAllowed, .tlsFailed, .timedOut, .usage, .input, .cancelled:
                throw ApusError(error.code, error.message)
            default: throw ApusError(.unavailable, error.message)
            }
        }
    }

    private func tooLate(_ endpoint: Endpoint) -> ApusError {
        ApusError(.timedOut, "\(endpoint) did not answer within \(WaitTime.seconds(seconds)) s")
    }

    private func hasCredentials(_ endpoint: Endpoint) -> Bool {
        let names = ["APUS_USER", "APUS_TOKEN", "APUS_USER_FILE", "APUS_TOKEN_FILE", "APUS_CERT"]
        let login = connection.login
        return endpoint.user != nil || login.user != nil || login.tokenFile != nil || connection.cert != nil
            || names.contains { getenv($0) != nil }
    }
}
