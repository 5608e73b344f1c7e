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

@Suite("An error that a client is told")
struct ErrorFigureTests {
    @Test("is counted by its code, whatever it answers; one that ends the connection is in the log with its reason")
    func counts() async throws {
        let lines = Watched<[String]>([])
        let configuration = Broker.Configuration.with {
            $0.logger = Logger(label: "test") { _ in LineRecorder(lines: lines) }
        }
        try await withBroker(configuration: configuration) { broker in
            let peer = try broker.peer()
            try peer.send(json: #"{"kind":"unsubscribe","subscription":9}"#)
            #expect(try peer.error().error.code == .unknownSubscription)
            try peer.send(json: #"{"kind":"subscribe","subscription":1,"filter":"a/#/b"}"#)
            #expect(try peer.error().error.code == .invalidFilter)
            try peer.send(json: #"{"topic":"a/+","content-length":0,"id":1}"#)
            #expect(try peer.error().error.code == .invalidTopic)
            try peer.send(json: #"{"kind":"nonsense"}"#)
            #expect(try peer.error().error.code == .unknownKind)
            let stranger = try broker.peer()
            try stranger.send(Array("GET / HTTP/1.1\r\n\r\n".utf8))
            #expect(try stranger.error().error.code == .malformedFrame)
            let errors = try broker.status()["errors"]
            for code in ["unknown-subscription", "invalid-filter", "invalid-topic", "unknown-kind", "malformed-frame"] {
                #expect(errors?[code] == .integer(1), "\(code) in \(String(describing: errors))")
            }
        }
        let ends = lines.value.filter { $0.contains("ends") }
        #expect(ends == ["info: the connection ends"])
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
