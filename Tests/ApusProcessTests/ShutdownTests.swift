import Foundation
import Glibc
import Testing

extension ProcessTests {
    @Suite("Asked to stop")
    struct ShutdownTests {
        @Test("SIGTERM while publishers publish: exit 0, goodbye to everybody, what was acknowledged is in one file")
        func whilePublishing() async throws {
            try await Workshop.open { workshop in
                let broker = try await workshop.broker("--drain-time", "20")
                let acknowledged = Watched<[UInt64: UInt64]>([:])
                let publishing = Task { try await onThread { try publishUntilGoodbye(broker.port, acknowledged) } }
                let listening = Task { try await onThread { try listenUntilGoodbye(broker.port) } }
                try await acknowledged.wait(for: "1,000 acknowledgements") { $0.count >= 1_000 ? true : nil }
                broker.child.signal(SIGTERM)
                let finished = try await broker.child.ended(seconds: 25)
                #expect(finished.end == .exited(0), "\(finished.errors)")
                #expect(finished.errors.contains("\nstopped\n"))
                // Both of them throw where the connection ends without a goodbye.
                try await publishing.value
                let heard = try await listening.value
                #expect(workshop.size("apus.db-wal") ?? 0 == 0)
                let rows = try await workshop.sql("SELECT seq, text FROM history ORDER BY seq")
                let texts = Dictionary(
                    uniqueKeysWithValues: rows.map { (UInt64($0[0].text ?? "") ?? 0, $0[1].text ?? "") })
                for (id, seq) in acknowledged.read({ $0 }) { #expect(texts[seq] == "message \(id)") }
                // Nobody is told of a message that is not kept; and the order is that of the log.
                #expect(heard.allSatisfy { texts[$0] != nil })
                #expect(zip(heard, heard.dropFirst()).allSatisfy { $0 < $1 })
                #expect(try await workshop.sql("PRAGMA integrity_check").map { $0[0].text } == ["ok"])
            }
        }

        @Test("A second signal ends it at once, although somebody does not read; the log is whole nevertheless")
        func secondSignal() async throws {
            try await Workshop.open { workshop in
                let broker = try await workshop.broker("--drain-time", "300")
                let payload = try workshop.file("payload", [UInt8](repeating: 1, count: 100_000))
                try await workshop.done("pub", "a", "-f", payload, "--repeat", "200", "-s", broker.server)
                // 20 MB for somebody who takes nothing of it: draining would last for the whole drain time.
                let stalled = try await onThread {
                    let client = try RawClient(port: broker.port, receiveBytes: 2_048)
                    try client.send(
                        RawClient.frame(##"{"kind":"subscribe","subscription":1,"filter":"#","from":"start"}"##))
                    try client.receive()
                    return Handed(client)
                }
                broker.child.signal(SIGTERM)
                try await broker.child.says("stopping")
                broker.child.signal(SIGTERM)
                #expect(try await broker.child.ended(seconds: 10).end == .exited(130))
                withExtendedLifetime(stalled) {}
                let again = try await workshop.broker()
                #expect(
                    try await workshop.done("history", "--json", "--last", "1", "-s", again.server).text
                        .hasPrefix("{\"seq\":200,"))
                #expect(try await again.stop().end == .exited(0))
            }
        }

        @Test("What does not drain in the drain time is closed, and it is still a clean end")
        func drainTime() async throws {
            try await Workshop.open { workshop in
                let broker = try await workshop.broker("--drain-time", "1")
                let payload = try workshop.file("payload", [UInt8](repeating: 1, count: 100_000))
                try await workshop.done("pub", "a", "-f", payload, "--repeat", "200", "-s", broker.server)
                let stalled = try workshop.apus(
                    "sub", "#", "--from", "start", "--raw", "--verbose", "-s", broker.server, output: .held)
                try await stalled.says("subscribed")
                broker.child.signal(SIGTERM)
                let finished = try await broker.child.ended(seconds: 15)
                #expect(finished.end == .exited(0), "\(finished.errors)")
                #expect(workshop.size("apus.db-wal") ?? 0 == 0)
            }
        }

        @Test("A signal that comes right after the first sign of life is not lost", arguments: [SIGTERM, SIGINT])
        func earlySignal(signal: Int32) async throws {
            try await Workshop.open { workshop in
                for _ in 0..<10 {
                    let client = try workshop.apus("sub", "#", "--wait", "--verbose", "-s", "127.0.0.1:1")
                    try await client.says("connecting")
                    client.signal(signal)
                    // Less than the 5 seconds after which a command that hangs ends all the same.
                    #expect(try await client.ended(seconds: 4.5).end == .exited(130))
                }
                for _ in 0..<5 {
                    let broker = try await workshop.broker()
                    broker.child.signal(signal)
                    #expect(try await broker.child.ended(seconds: 10).end == .exited(0))
                }
            }
        }

        @Test("SIGTERM and SIGINT end sub, pub and a waiting client with 130", arguments: [SIGTERM, SIGINT])
        func clients(signal: Int32) async throws {
            try await Workshop.open { workshop in
                let broker = try await workshop.broker()
                let subscriber = try workshop.apus("sub", "#", "--verbose", "-s", broker.server)
                try await subscriber.says("subscribed")
                let publisher = try workshop.apus("pub", "a", "-l", "-v", "-s", broker.server, input: .open)
                try publisher.write(Array("one\ntwo\nhalf a line".utf8))
                try await publisher.watched.wait(for: "two receipts") {
                    $0.outputText.hasSuffix("seq 2 synced\n") ? true : nil
                }
                let waiting = try workshop.apus("sub", "#", "--wait", "--verbose", "-s", "127.0.0.1:1")
                try await waiting.says("connecting")
                for child in [subscriber, publisher, waiting] { child.signal(signal) }
                for child in [subscriber, publisher, waiting] {
                    let finished = try await child.ended(seconds: 20)
                    #expect(finished.end == .exited(130), "\(child.name): \(finished.errors)")
                }
                // Half a line is no message.
                #expect(try await workshop.done("history", "--json", "-s", broker.server).lines.count == 2)
            }
        }
    }
}

/// Publishes without a pause until the broker says goodbye, and writes down what was acknowledged.
///
/// - Throws: where the connection ends without a goodbye.
private func publishUntilGoodbye(_ port: Int, _ acknowledged: Watched<[UInt64: UInt64]>) throws {
    let client = try RawClient(port: port)
    var id: UInt64 = 0
    var answered: UInt64 = 0
    var isStopped = false
    while true {
        if !isStopped {
            id += 1
            let text = Array("message \(id)".utf8)
            do {
                try client.send(
                    RawClient.frame(
                        #"{"topic":"a","charset":"utf-8","id":\#(id),"content-length":\#(text.count)}"#, text))
            } catch is RawClient.Gone {
                isStopped = true
            }
        }
        while isStopped || client.hasInput || id - answered > 500 {
            let header = try client.next().header
            switch header.kind {
            case "published":
                guard let last = header.id, let seq = header.seq else { throw Unexpected("\(header)") }
                let count = header.count ?? 1
                acknowledged.update { known in
                    for offset in 0..<count { known[last - offset] = seq - offset }
                }
                answered = last
            case "goodbye": return
            case "error":
                // What came too late is refused, by its id or with the connection.
                guard header.code == "going-away" else { throw Unexpected("\(header)") }
                answered = header.id ?? answered
            default: throw Unexpected("\(header)")
            }
        }
    }
}

/// - Returns: the seqs that came before the goodbye.
/// - Throws: where the connection ends without one.
private func listenUntilGoodbye(_ port: Int) throws -> [UInt64] {
    let client = try RawClient(port: port)
    try client.subscribe("#")
    var seqs: [UInt64] = []
    while true {
        let header = try client.next().header
        switch header.kind {
        case "message": seqs.append(header.seq ?? 0)
        case "goodbye": return seqs
        case "caught-up": break
        default: throw Unexpected("\(header)")
        }
    }
}
