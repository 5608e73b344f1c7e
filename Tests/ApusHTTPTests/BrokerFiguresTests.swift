import ApusBroker
import ApusHTTP
import ApusModel
import ApusServer
import ApusStore
import ApusTesting
import ApusWire
import Foundation
import NIOCore
import Testing
import Yams

@Suite("The broker's figures")
struct BrokerFiguresTests {
    @Test("count messages, bytes, commits, cursors and refusals")
    func counts() async throws {
        let text = try await figures { peer in
            let subscriber = try peer()
            try subscriber.subscribe("a/#")
            _ = try subscriber.next()
            let publisher = try peer()
            for index in 1...5 { try publisher.publish("a/b", "message \(index)") }
            // Recorded, and told: the figures are complete.
            var seqs = 0
            while seqs < 5, case .published(let run)? = try publisher.next() { seqs = Int(run.lastSeq) }
            var messages = 0
            while messages < 5, let frame = try subscriber.next() {
                if case .message = frame { messages += 1 }
            }
            try publisher.send(json: #"{"topic":"$SYS/x","content-length":0}"#)
            guard case .error? = try publisher.next() else { throw WaitedTooLong("a refusal") }
            return [subscriber, publisher]
        }
        let read = try Exposition(text)
        #expect(read.value("apus_received_messages_total", ["door": "native"]) == 5)
        #expect(read.value("apus_delivered_messages_total", ["door": "native"]) == 5)
        #expect(read.value("apus_received_bytes_total", ["door": "native"]) ?? 0 > 5 * 40)
        #expect(read.value("apus_sent_bytes_total", ["door": "native"]) ?? 0 > 5 * 40)
        #expect(read.value("apus_errors_total", ["code": "not-allowed"]) == 1)
        #expect(read.value("apus_errors_total", ["code": "storage-full"]) == 0)
        #expect(read.value("apus_commit_messages_sum") == 5)
        let commits = try #require(read.value("apus_commit_messages_count"))
        #expect(commits >= 1 && commits <= 5)
        #expect(read.value("apus_fsync_duration_seconds_count") == commits)
        #expect(read.value("apus_commit_duration_seconds_count") == commits)
        let sync = read.value("apus_fsync_duration_seconds_sum") ?? 0
        #expect(sync > 0 && sync <= read.value("apus_commit_duration_seconds_sum") ?? 0)
        #expect(read.value("apus_accepted_connections_total") == 2)
        #expect(read.value("apus_connections") == 2)
        #expect(read.value("apus_cursors") == 1)
        #expect(read.value("apus_cursor_lag_max_messages") == 0)
        #expect(read.value("apus_tail_bytes") ?? 0 > 0)
        #expect(read.value("apus_log_head_seq") == 5)
        #expect(read.value("apus_log_first_seq") == 1)
        #expect(read.value("apus_topics") == 1)
        #expect(read.value("apus_log_wal_used_bytes") ?? 0 > 0)
        #expect(read.value("apus_log_filesystem_free_bytes") ?? 0 > 0)
        #expect(read.value("apus_limit", ["limit": "tail-bytes"]) == Double(Limits.defaults.tailBytesMax))
        #expect(read.value("apus_ready") == 1)
        #expect(read.value("process_open_fds") ?? 0 > 5)
        #expect(read.value("process_resident_memory_bytes") ?? 0 > 1_048_576)
        #expect(read.value("process_start_time_seconds") ?? 0 > 1_700_000_000)
    }

    @Test("show the cursor that does not read: how far it is behind, what it waits for, in status too")
    func lag() async throws {
        let text = try await figures { peer in
            let slow = try peer()
            try slow.send(json: #"{"kind":"subscribe","subscription":7,"filter":"a","credit":2}"#)
            _ = try slow.next()
            let publisher = try peer()
            for index in 1...10 { try publisher.publish("a", "\(index)") }
            var seqs = 0
            while seqs < 10, case .published(let run)? = try publisher.next() { seqs = Int(run.lastSeq) }
            try publisher.send(.query(Query(query: 1, select: .status)))
            guard case .row(let row)? = try publisher.next() else { throw WaitedTooLong("a status row") }
            let status = try JSONParser.parse(String(buffer: row.content))
            guard case .array(let cursors)? = status["slowest-cursors"] else { throw WaitedTooLong("cursors") }
            #expect(cursors.count == 1)
            #expect(cursors.first?["subscription"] == .integer(7))
            #expect(cursors.first?["lag"] == .integer(8))
            #expect(cursors.first?["waits-for"] == .string("credit"))
            #expect(cursors.first?["behind-tail"] == .bool(false))
            #expect(status["lag-max"] == .integer(8))
            #expect(status["messages-in"] == .integer(10))
            #expect(status["messages-out"] == .integer(2))
            #expect(status["commits"].map { $0 != .integer(0) } == true)
            return [slow, publisher]
        }
        let read = try Exposition(text)
        #expect(read.value("apus_cursor_lag_max_messages") == 8)
        #expect(read.value("apus_cursors_behind_tail") == 0)
        #expect(read.value("apus_queries_total", ["select": "status"]) == 1)
    }

    @Test("count what subscriptions are told that they do not get")
    func dropped() async throws {
        let text = try await figures { peer in
            let publisher = try peer()
            try publisher.send(json: #"{"topic":"a","ttl":1,"content-length":0}"#)
            _ = try publisher.next()
            let subscriber = try peer()
            // Until its second is over.
            for number in 1... {
                try subscriber.send(
                    json: #"{"kind":"subscribe","subscription":\#(number),"filter":"a","from":"start"}"#)
                _ = try subscriber.next()
                if case .gap? = try subscriber.next() { break }
                try subscriber.send(json: #"{"kind":"unsubscribe","subscription":\#(number)}"#)
                while case .caughtUp? = try subscriber.next() { break }
            }
            return [publisher, subscriber]
        }
        let read = try Exposition(text)
        #expect(read.value("apus_dropped_messages_total", ["reason": "expired"]) == 1)
        #expect(read.value("apus_dropped_messages_total", ["reason": "trimmed"]) == 0)
    }

    @Test("are what docs/METRICS.md says, each of them and no other")
    func page() async throws {
        let shown = Set(try await Exposition(figures { _ in [] }).families.keys)
        let all = Set(Metric.all.map(\.name))
        #expect(shown == all, "on /metrics and not in the list, or the other way round")
        let lines = try Project.text("docs/METRICS.md").split(separator: "\n").filter {
            $0.hasPrefix("| `apus_") || $0.hasPrefix("| `process_")
        }
        let expected = Metric.all.map { metric in
            let labels = metric.labels.map { "`\($0)`" }.joined(separator: ", ")
            return "| `\(metric.name)` | \(metric.kind.rawValue) | \(metric.unit) | \(labels) | \(metric.help) |"
        }
        #expect(lines.map(String.init) == expected, "docs/METRICS.md should have:\n\(expected.joined(separator: "\n"))")
    }

    @Test("are all that config/alerts.yaml and config/grafana-dashboard.json ask for")
    func dashboardAndAlerts() async throws {
        let exposition = try await Exposition(figures { _ in [] })
        var known: Set<String> = ["up"]
        for (name, family) in exposition.families {
            known.insert(name)
            if family.type == "histogram" { known.formUnion(["_bucket", "_sum", "_count"].map { name + $0 }) }
        }
        let alerts = try #require(try Yams.load(yaml: Project.text("config/alerts.yaml")) as? [String: Any])
        let groups = try #require(alerts["groups"] as? [[String: Any]])
        let rules = groups.flatMap { $0["rules"] as? [[String: Any]] ?? [] }
        #expect(rules.count >= 8)
        for rule in rules {
            let name = try #require(rule["alert"] as? String)
            let expression = try #require(rule["expr"] as? String)
            #expect(Project.metrics(in: expression).subtracting(known) == [], "\(name): \(expression)")
            #expect(!Project.metrics(in: expression).isEmpty, "\(name)")
            let labels = try #require(rule["labels"] as? [String: String])
            #expect(["critical", "warning"].contains(labels["severity"]))
            let annotations = try #require(rule["annotations"] as? [String: String])
            #expect(annotations["summary"] != nil && annotations["description"] != nil, "\(name)")
        }
        let dashboard = try #require(
            try JSONSerialization.jsonObject(with: Data(Project.text("config/grafana-dashboard.json").utf8))
                as? [String: Any])
        let expressions = Project.expressions(in: dashboard)
        #expect(expressions.count >= 20)
        for expression in expressions {
            #expect(Project.metrics(in: expression).subtracting(known) == [], "\(expression)")
        }
        #expect(dashboard["__inputs"] == nil, "the data source is a variable, so that it can be imported as it is")
        let variables = (dashboard["templating"] as? [String: Any])?["list"] as? [[String: Any]] ?? []
        #expect(variables.contains { $0["type"] as? String == "datasource" })
        // What is important has a panel: every family but marks and a few constants.
        let asked = expressions.reduce(into: Set<String>()) { $0.formUnion(Project.metrics(in: $1)) }
        let families = Metric.all.filter { metric in
            !asked.contains { $0 == metric.name || $0.hasPrefix("\(metric.name)_") }
        }
        #expect(
            Set(families.map(\.name)).isSubset(of: [
                "apus_limit", "apus_not_ready", "apus_encodings", "apus_publishers",
            ]))
    }

    /// What /metrics says after `body`, over HTTP.
    ///
    /// - Parameter body: gets a way to connect; what it returns stays open until the figures are read.
    private func figures(
        _ body: @escaping @Sendable (() throws -> ScriptedPeer) throws -> [ScriptedPeer]
    ) async throws -> String {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("apus-http-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(at: folder) }
        let store = try Store.open(
            path: folder.appendingPathComponent("apus.db").path, limits: .defaults, logger: noLog)
        var configuration = Broker.Configuration()
        configuration.listeners = [ListenerConfiguration(.tcp(host: "127.0.0.1", port: 0))]
        configuration.eventLoops = 2
        configuration.limits.drainSeconds = 0
        configuration.logger = noLog
        let broker = try Broker(store: store, configuration: configuration)
        let address = try #require(try await broker.listen().first?.address)
        let outcome: Result<String, any Error>
        do {
            let peers = try await blocking { Handed(try body { try ScriptedPeer(address, way: .json) }) }.value
            let pages = HTTPPages(
                version: "1", metrics: { await broker.metricFamilies() },
                reasonsNotReady: { broker.reasonsNotReady }, isAlive: { await broker.isAlive(withinSeconds: 60) })
            let text = Watched("")
            try await withDoor(pages) { port in
                let browser = try Browser(port: port)
                #expect(try browser.get("/healthz").status == 200)
                #expect(try browser.get("/readyz").status == 200)
                let answer = try browser.get("/metrics")
                text.change { $0 = answer.body }
            }
            for peer in peers { peer.close() }
            outcome = .success(text.value)
        } catch {
            outcome = .failure(error)
        }
        try await broker.stop()
        return try outcome.get()
    }
}
