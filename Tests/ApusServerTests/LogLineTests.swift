import ApusModel
import ApusServer
import ApusTesting
import ApusWire
import Logging
import Testing

@Suite("The broker's log")
struct LogLineTests {
    @Test("has one line a connection at info, and none a message")
    func lines() async throws {
        let lines = Watched<[String]>([])
        let configuration = Broker.Configuration.with {
            $0.logger = Logger(label: "test") { _ in LineRecorder(lines: lines) }
            $0.logger.logLevel = .debug
        }
        try await withBroker(configuration: configuration) { broker in
            let peer = try broker.peer(.compact)
            try peer.subscribe("a")
            try peer.subscribed()
            for index in 1...200 { try peer.publish("a", "\(index)") }
            var messages = 0
            while messages < 200, let frame = try peer.next() {
                if case .message = frame { messages += 1 }
            }
            peer.close()
            try lines.wait("the last line") { $0.contains("debug: disconnected") }
        }
        #expect(lines.value.filter { $0.hasPrefix("info: ") } == ["info: connected"])
        #expect(lines.value.count < 5, "\(lines.value)")
    }
}

/// Keeps what is logged.
private struct LineRecorder: LogHandler {
    let lines: Watched<[String]>
    var logLevel = Logger.Level.info
    var metadata: Logger.Metadata = [:]

    init(lines: Watched<[String]>) { self.lines = lines }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) { lines.change { $0.append("\(event.level): \(event.message)") } }
}
