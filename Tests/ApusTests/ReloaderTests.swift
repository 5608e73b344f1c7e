import ApusModel
import ApusServer
import ApusSettings
import ApusTesting
import Testing

@testable import apus

@Suite("Reading the settings again", .timeLimit(.minutes(1)))
struct ReloaderTests {
    @Test("A file that cannot be read is tried again until it can, and said once")
    func triesAgain() async throws {
        let tries = Watched(0)
        let log = RecordingLog()
        let users = Reloadable(file: .users) { (_, _) throws(ApusError) in
            let number = tries.change { tries in
                tries += 1
                return tries
            }
            guard number > 2 else { throw ApusError(.input, "cannot read users.yaml: too many open files") }
            return { [Reloadable.Change(what: "the users are changed")] }
        }
        let reloader = Reloader(
            settings: Settings(), watch: FileWatch([]), loader: SettingsLoader(flags: Flags(), environment: [:]),
            parts: [users], logger: log.logger)
        let requests = ReloadRequests()
        let running = Task { await reloader.run(requests) }
        requests.add(ReloadRequests.signal)
        try await Task.detached { try log.wait("the change") { $0.contains { $0.contains("the users are changed") } } }
            .value
        requests.finish()
        await running.value
        #expect(log.lines.filter { $0.contains("too many open files") }.count == 1, "\(log.lines)")
        #expect(tries.value == 3)
    }
}
