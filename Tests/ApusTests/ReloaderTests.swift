import ApusModel
import ApusSettings
import ApusTesting
import Logging
import Testing

@testable import apus

@Suite("Reading the settings again", .timeLimit(.minutes(1)))
struct ReloaderTests {
    @Test("A file that cannot be read is tried again until it can, and said once")
    func triesAgain() async throws {
        let tries = Watched(0)
        let lines = Watched<[String]>([])
        let users = Reloadable(name: "users", standsAlone: true) { (_, _) throws(ApusError) in
            let number = tries.change { tries in
                tries += 1
                return tries
            }
            guard number > 2 else { throw ApusError(.input, "cannot read users.yaml: too many open files") }
            return { [Reloadable.Change(what: "the users are changed")] }
        }
        let reloader = Reloader(
            settings: Settings(), watch: FileWatch([]), loader: SettingsLoader(flags: Flags(), environment: [:]),
            parts: [users], logger: Logger(label: "test") { _ in Recorder(lines: lines) })
        let requests = ReloadRequests()
        let running = Task { await reloader.run(requests) }
        requests.add(ReloadRequests.signal)
        try await Task.detached { try lines.wait("the change") { $0.contains("the users are changed") } }.value
        requests.finish()
        await running.value
        #expect(lines.value.filter { $0.contains("too many open files") }.count == 1, "\(lines.value)")
        #expect(tries.value == 3)
    }
}

private struct Recorder: LogHandler {
    let lines: Watched<[String]>
    var logLevel = Logger.Level.info
    var metadata: Logger.Metadata = [:]

    init(lines: Watched<[String]>) { self.lines = lines }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) { lines.change { $0.append("\(event.message)") } }
}
