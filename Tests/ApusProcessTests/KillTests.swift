import ApusClient
import Foundation
import Logging
import NIOCore
import Testing

extension ProcessTests {
    @Suite("Killed with SIGKILL, again and again")
    struct KillTests {
        /// More of them in the deep tests.
        private static let rounds =
            ProcessInfo.processInfo.environment["APUS_TORTURE_ROUNDS"].flatMap(Int.init).map { max(2, $0) } ?? 9

        @Test("Nothing acknowledged is lost, no seq comes back, what is sent again is recorded once, in order")
        func broker() async throws {
            try await Workshop.open { workshop in
                var random = SplitMix(seed: 0x41_70_75_73)
                let publishers = [
                    Publisher(topic: "kill/synced", name: "synced", level: "synced"),
                    Publisher(topic: "kill/stored", name: "stored", level: "stored"),
                    Publisher(topic: "kill/nameless", name: nil, level: "synced"),
                ]
                let follower = Follower()
                for round in 1...Self.rounds {
                    // Every other one copies its write-ahead log all the time, so that kills meet that too.
                    let broker = try await workshop.broker("--wal-checkpoint", round % 2 == 0 ? "65536" : "8388608")
                    try await checkLog(broker, publishers, follower, "after \(round - 1) kills")
                    let target = publishers.acknowledged + Int(random.next() % 900) + 1
                    let subscribed = try await onThread { try follower.begin(broker.port) }
                    let following = Task { try await onThread { try follower.follow(subscribed) } }
                    for publisher in publishers { publisher.watched.update { $0.acknowledgedInRound = 0 } }
                    let publishing = publishers.map { publisher in
                        Task { try await onThread { try publisher.publish(broker.port) } }
                    }
                    for publisher in publishers {
                        // Each of them on its own, so that a round in which one is held up fails.
                        try await publisher.watched.wait(for: "an acknowledgement for \(publisher.topic)") {
                            $0.acknowledgedInRound > 0 ? true : nil
                        }
                    }
                    try await publishers.waitUntilAcknowledged(target)
                    try await broker.killNow()
                    for task in publishing { try await task.value }
                    try await following.value
                }
                let broker = try await workshop.broker()
                for publisher in publishers where publisher.name != nil {
                    try await onThread { try publisher.settle(broker.port) }
                }
                let log = try await checkLog(broker, publishers, follower, "in the end")
                for publisher in publishers where publisher.name != nil {
                    let ids = log.filter { $0.topic == publisher.topic }.map(\.id)
                    #expect(ids == Array(1...UInt64(max(1, ids.count))), "\(publisher.topic): each once, in order")
                    #expect(ids.last == publisher.watched.read { $0.lastID })
                }
                try await onThread {
                    try follower.follow(follower.begin(broker.port), through: log.last?.seq ?? 0)
                }
                #expect(follower.watched.read { $0 } == log, "a subscriber that resumes sees everything once, in order")
                #expect(try await broker.stop().end == .exited(0))
                #expect(try await workshop.sql("PRAGMA integrity_check").map { $0[0].text } == ["ok"])
            }
        }

        @Test(
            "The client library's publisher and subscriber go on over kills of the broker, each message once, in order")
        func library() async throws {
            try await Workshop.open { workshop in
                var broker = try await workshop.broker()
                var configuration = ClientConfiguration(endpoint: try Endpoint(broker.server))
                configuration.reconnects = true
                configuration.backoffMilliseconds = 10...100
                configuration.logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
                let listener = try await ApusClient.connect(configuration)
                let subscription = try await listener.subscribe(["library/#"], from: .start)
                configuration.publisher = "library"
                let client = try await ApusClient.connect(configuration)
                let count = 2_000
                let received = Watched<[String]>([])
                let listening = Task {
                    for try await message in subscription.messages {
                        let count = received.update { texts in
                            texts.append(String(buffer: message.payload))
                            return texts.count
                        }
                        if count == 2_000 { return }
                    }
                }
                let sent = Watched(0)
                let publishing = Task {
                    for start in stride(from: 0, to: count, by: 20) {
                        let batch = (start..<(start + 20)).map {
                            OutgoingMessage(topic: "library/a", text: "message \($0)")
                        }
                        try await client.publish(batch)
                        sent.update { $0 += 20 }
                    }
                }
                var random = SplitMix(seed: 7)
                var target = 0
                for _ in 0..<3 {
                    target += 100 + Int(random.next() % 400)
                    let enough = target
                    try await sent.wait(for: "\(enough) acknowledgements") { $0 >= enough ? true : nil }
                    try await broker.killNow()
                    broker = try await workshop.broker(port: broker.port)
                }
                try await sent.wait(for: "all acknowledgements") { $0 == count ? true : nil }
                try await publishing.value
                try await received.wait(for: "all messages") { $0.count >= count ? true : nil }
                try await listening.value
                let expected = (0..<count).map { "message \($0)" }
                #expect(received.read { $0 } == expected)
                let recorded = try await workshop.done("history", "library/#", "--json", "-s", broker.server).lines
                #expect(try recorded.map { try JSONLine(Data($0.utf8)).text } == expected)
                await client.close()
                await listener.close()
            }
        }

        @Test(
            "A publisher process killed in mid-stream leaves everything that it has a receipt for, and no more than it sent"
        )
        func publisherProcess() async throws {
            try await Workshop.open { workshop in
                let broker = try await workshop.broker()
                let publisher = try workshop.apus(
                    "pub", "stream", "-l", "-v", "--publisher", "p", "-s", broker.server, input: .open)
                let feeding = Task {
                    try await onThread {
                        var number = 0
                        // Until the pipe breaks; the pipe's size bounds how far this is ahead.
                        while true {
                            number += 1
                            do { try publisher.write(Array("line \(number)\n".utf8)) } catch { return number }
                        }
                    }
                }
                try await publisher.watched.wait(for: "300 receipts") {
                    $0.outputText.split(separator: "\n").count >= 300 ? true : nil
                }
                publisher.signal(SIGKILL)
                let finished = try await publisher.ended()
                publisher.closeInput()
                _ = try await feeding.value
                #expect(finished.end == .killed(SIGKILL))
                let receipts = finished.text.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
                let rows = try await workshop.done("history", "stream", "--json", "-s", broker.server).lines
                    .map { try JSONLine(Data($0.utf8)) }
                #expect(rows.map(\.text) == (1...rows.count).map { "line \($0)" })
                #expect(rows.count >= receipts.count)
                for (row, receipt) in zip(rows, receipts) { #expect(receipt == "seq \(row.seq) synced") }
                // The name is free again, and the broker serves.
                try await workshop.done("pub", "stream", "-m", "after", "--publisher", "p", "-s", broker.server)
            }
        }

        @Test("A subscriber process killed in mid-stream is gone from the broker, and holds up nobody")
        func subscriberProcess() async throws {
            try await Workshop.open { workshop in
                let broker = try await workshop.broker()
                try await workshop.done(
                    "pub", "stream", "-f", try workshop.file("payload", [UInt8](repeating: 7, count: 10_000)),
                    "--repeat", "1000", "-s", broker.server)
                // It gets further than its pipe reaches only when somebody reads.
                let victim = try workshop.apus(
                    "sub", "#", "--from", "start", "--raw", "--verbose", "-s", broker.server, output: .held)
                try await victim.says("subscribed")
                let other = try workshop.apus(
                    "sub", "#", "-C", "1001", "--from", "start", "-F", "%q\\n", "-s", broker.server)
                victim.signal(SIGKILL)
                #expect(try await victim.ended().end == .killed(SIGKILL))
                try await workshop.done("pub", "stream", "-m", "last", "-s", broker.server)
                #expect(try await other.ended().lines == (1...1_001).map { "\($0)" })
                let status = try await workshop.done("status", "--json", "-s", broker.server).text
                #expect(status.contains("\"connections\":1,"), "only the one that asks: \(status)")
                #expect(status.contains("\"cursors\":0,"), "\(status)")
            }
        }

        @Test("apus sub goes on over kills of the broker, and shows each message once")
        func subscriberGoesOn() async throws {
            try await Workshop.open { workshop in
                var broker = try await workshop.broker()
                let subscriber = try workshop.apus("sub", "a", "-C", "30", "--verbose", "-s", broker.server)
                try await subscriber.says("subscribed")
                for round in 0..<3 {
                    let lines = (1...10).map { "\(round * 10 + $0)\n" }.joined()
                    try await workshop.done("pub", "a", "-l", "-s", broker.server, input: .bytes(Array(lines.utf8)))
                    guard round < 2 else { break }
                    try await broker.killNow()
                    try await subscriber.says("reconnecting", times: round + 1)
                    broker = try await workshop.broker(port: broker.port)
                    try await subscriber.says("connected again", times: round + 1)
                }
                let finished = try await subscriber.ended()
                #expect(finished.end == .exited(0), "\(finished.errors)")
                #expect(finished.lines == (1...30).map { "\($0)" })
            }
        }

        // MARK: What the log has to hold

        @discardableResult
        private func checkLog(
            _ broker: BrokerChild, _ publishers: [Publisher], _ follower: Follower, _ when: String
        ) async throws -> [Entry] {
            let log = try await onThread { try Entry.all(broker.port) }
            #expect(zip(log, log.dropFirst()).allSatisfy { $0.seq < $1.seq }, "\(when)")
            let bySeq = Dictionary(uniqueKeysWithValues: log.map { ($0.seq, $0) })
            for publisher in publishers {
                for (id, seq) in publisher.watched.read({ $0.acknowledged }) {
                    let expected = Entry(seq: seq, topic: publisher.topic, id: id)
                    if bySeq[seq] != expected {
                        throw Unexpected("\(when): \(expected) is lost, there is \(bySeq[seq] as Any)")
                    }
                }
                let ids = log.filter { $0.topic == publisher.topic }.map(\.id)
                #expect(
                    zip(ids, ids.dropFirst()).allSatisfy { $0 < $1 }, "\(when): \(publisher.topic) in order, none twice"
                )
            }
            for seen in follower.watched.read({ $0 }) where bySeq[seen.seq] != seen {
                throw Unexpected("\(when): a subscriber saw \(seen), now there is \(bySeq[seen.seq] as Any)")
            }
            return log
        }
    }
}

/// A message of these tests: its payload says which one it is, and every byte of it is checked.
private struct Entry: Hashable, Sendable {
    let seq: UInt64
    let topic: String
    let id: UInt64

    static func payload(_ topic: String, _ id: UInt64) -> [UInt8] {
        let filler = [UInt8](repeating: UInt8(truncatingIfNeeded: id), count: Int(id &* 7_919 % 3_000))
        return Array("\(topic) \(id) ".utf8) + filler
    }

    init(seq: UInt64, topic: String, id: UInt64) {
        self.seq = seq
        self.topic = topic
        self.id = id
    }

    /// - Throws: where the payload is not what was published.
    init(_ frame: RawClient.Frame) throws {
        let topic = frame.header.topic ?? ""
        let words = frame.content.prefix(64).split(separator: 0x20, maxSplits: 2, omittingEmptySubsequences: false)
        guard words.count == 3, let id = UInt64(String(decoding: words[1], as: UTF8.self)),
            frame.content == Entry.payload(topic, id), let seq = frame.header.seq
        else { throw Unexpected("\(frame.header) has a payload that nobody published") }
        self.init(seq: seq, topic: topic, id: id)
    }

    /// The whole log, as a subscriber gets it from the start.
    static func all(_ port: Int) throws -> [Entry] {
        let client = try RawClient(port: port)
        try client.subscribe("#", from: "\"start\"")
        var entries: [Entry] = []
        while true {
            let frame = try client.next()
            if frame.header.kind == "caught-up" { return entries }
            if frame.header.kind == "message" { entries.append(try Entry(frame)) }
        }
    }
}

/// Subscribes, over all restarts, after the last seq that it has seen.
private struct Follower: Sendable {
    let watched = Watched<[Entry]>([])

    /// - Returns: a client that is subscribed.
    func begin(_ port: Int) throws -> Handed<RawClient> {
        let client = try RawClient(port: port)
        try client.subscribe("#", from: "\((watched.read { $0.last?.seq } ?? 0) + 1)")
        return Handed(client)
    }

    /// Until the broker has gone, or until it has that seq.
    func follow(_ client: Handed<RawClient>, through last: UInt64 = .max) throws {
        do {
            while (watched.read { $0.last?.seq } ?? 0) < last {
                let frame = try client.value.next()
                guard frame.header.kind == "message" else { continue }
                let entry = try Entry(frame)
                watched.update { $0.append(entry) }
            }
        } catch is RawClient.Gone {}
    }
}

/// Publishes without a pause, and writes down what was acknowledged.
private struct Publisher: Sendable {
    struct State: Sendable {
        var lastID: UInt64 = 0
        /// Sent, and not answered.
        var open: [UInt64] = []
        /// By id: the seq.
        var acknowledged: [UInt64: UInt64] = [:]
        var acknowledgedInRound = 0
    }

    private static let openMax = 200

    let topic: String
    /// nil: no deduplication, so nothing is sent again.
    let name: String?
    let level: String
    let watched = Watched(State())

    /// Until the broker has gone.
    func publish(_ port: Int) throws {
        do {
            let client = try begin(port)
            while true {
                let ids = watched.update { state -> ClosedRange<UInt64> in
                    let ids = (state.lastID + 1)...(state.lastID + 10)
                    state.lastID = ids.upperBound
                    state.open += ids
                    return ids
                }
                try client.send(ids.reduce(into: []) { $0 += frame($1) })
                while client.hasInput || watched.read({ $0.open.count }) > Self.openMax { try takeAnswer(client) }
            }
        } catch is RawClient.Gone {}
    }

    /// Sends again what is open, until nothing is.
    func settle(_ port: Int) throws {
        let client = try begin(port)
        while watched.read({ !$0.open.isEmpty }) { try takeAnswer(client) }
    }

    private func frame(_ id: UInt64) -> [UInt8] {
        RawClient.publish(topic, id: id, level: level, Entry.payload(topic, id))
    }

    private func begin(_ port: Int) throws -> RawClient {
        let client = try RawClient(port: port)
        let welcome = try client.hello(publisher: name)
        guard name != nil else {
            watched.update { $0.open = [] }
            return client
        }
        let lastID = welcome.lastID ?? 0
        let (acknowledged, last) = watched.read { ($0.acknowledged.keys.max() ?? 0, $0.lastID) }
        guard (acknowledged...last).contains(lastID) else {
            throw Unexpected("\(topic): last-id is \(lastID); \(acknowledged) was acknowledged, \(last) sent")
        }
        // All of it, also what welcome says is recorded: it has to be answered as a duplicate.
        try client.send(watched.read { $0.open }.reduce(into: []) { $0 += frame($1) })
        return client
    }

    private func takeAnswer(_ client: RawClient) throws {
        let header = try client.expect("published").header
        guard let id = header.id else { throw Unexpected("an answer without an id: \(header)") }
        let count = header.count ?? 1
        guard header.level == level || header.level == nil || header.level == "synced" else {
            throw Unexpected("\(level) was asked for: \(header)")
        }
        watched.update { state in
            let answered = state.open.prefix(Int(count))
            if answered.last != id { state.open = [] }
            state.open.removeFirst(min(state.open.count, Int(count)))
            if header.duplicate != true, let seq = header.seq {
                for (offset, id) in answered.enumerated() {
                    state.acknowledged[id] = seq - (count - 1) + UInt64(offset)
                }
            }
            state.acknowledgedInRound += Int(count)
        }
    }
}

extension [Publisher] {
    fileprivate var acknowledged: Int { reduce(0) { $0 + $1.watched.read { $0.acknowledged.count } } }

    /// Each of them waits for its share.
    fileprivate func waitUntilAcknowledged(_ target: Int) async throws {
        let share = (target - acknowledged) / count
        for publisher in self {
            try await publisher.watched.wait(for: "\(share) acknowledgements for \(publisher.topic)") {
                $0.acknowledgedInRound >= share ? true : nil
            }
        }
    }
}

/// The same numbers at every run.
struct SplitMix: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
