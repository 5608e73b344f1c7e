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
        let log = RecordingLog(level: .debug)
        let configuration = Broker.Configuration.with { $0.logger = log.logger }
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
            try log.wait("the last line") { $0.contains { $0.hasPrefix("debug disconnected ") } }
        }
        let info = log.lines.filter { $0.hasPrefix("info ") }
        #expect(info.count == 1 && info[0].hasPrefix("info connected "), "\(info)")
        #expect(log.lines.count < 5, "\(log.lines)")
    }
}

@Suite("An error that a client is told")
struct ErrorFigureTests {
    @Test("is counted by its code, whatever it answers; one that ends the connection is in the log with its reason")
    func counts() async throws {
        let log = RecordingLog()
        let configuration = Broker.Configuration.with { $0.logger = log.logger }
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
        let ends = log.lines.filter { $0.contains("ends") }
        #expect(ends.count == 1 && ends[0].hasPrefix("info the connection ends "), "\(ends)")
        #expect(ends.allSatisfy { $0.contains("(malformed-frame)") })
    }
}
