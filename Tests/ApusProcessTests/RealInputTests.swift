import Foundation
import Testing

extension ProcessTests {
    @Suite("Real text and real programs, through a broker process")
    struct RealInputTests {
        @Test(
            "Every payload and every declaration comes out as it went in: live, slowly, resumed, replayed, queried, and in SQL"
        )
        func everythingComesOutAsItWentIn() async throws {
            try await Workshop.open { workshop in
                let courses = try await Corpus(workshop: workshop).courses()
                let total = courses.reduce(0) { $0 + $1.messages.count }
                let broker = try await workshop.broker()
                let live = try await Listener.start("#", workshop, broker, "-C", "\(total)")
                let overlapping = try await Listener.start(
                    ["docs/#", "docs/text/+", "+/text/utf8"], workshop, broker, "-C",
                    "\(count(courses) { $0.hasPrefix("docs/") })")
                let early = try await Listener.start("#", workshop, broker, "-C", "150")
                let slow = try await SlowListener.start(broker, total: total, whenever: live)

                try await publish(courses, workshop, broker)

                let arrived = try await live.records()
                try check(arrived, against: courses)
                #expect(try await overlapping.records() == arrived.filter { $0.topic.hasPrefix("docs/") })
                #expect(try await slow.value == arrived)
                // It went away after 150 messages, and comes back for the rest.
                let first = try await early.records()
                let seen = try #require(first.last?.seq)
                let rest = try await Listener.start(
                    "#", workshop, broker, "--from", "\(seen + 1)", "-C", "\(total - first.count)")
                #expect(first + (try await rest.records()) == arrived)

                let replay = try await Listener.start("#", workshop, broker, "--from", "start", "--exit-at-end")
                #expect(try await replay.records() == arrived)
                try await checkHistory(arrived, courses, workshop, broker)
                try await checkGet(arrived, workshop, broker)
                try await checkSQL(arrived, courses, workshop)
                let stopped = try await broker.stop()
                #expect(stopped.end == .exited(0))
                try await checkSQL(arrived, courses, workshop)
            }
        }

        @Test("A client of twenty lines of Python publishes and subscribes")
        func python() async throws {
            let script = try #require(Bundle.module.path(forResource: "client", ofType: "py", inDirectory: "Resources"))
            let lines = try String(contentsOfFile: script, encoding: .utf8).split(separator: "\n")
            #expect(lines.count <= 20)
            try await Workshop.open { workshop in
                let broker = try await workshop.broker()
                var expected = ""
                for (index, text) in Corpus.chinese.enumerated() {
                    let bytes = try await workshop.spawn(
                        ["iconv", "-f", "UTF-8", "-t", "GB18030"], input: .bytes(Array(text.utf8))
                    ).ended().output
                    let published = try await workshop.spawn(
                        ["python3", script, "\(broker.port)", "pub", "python/text", "gb18030"], input: .bytes(bytes)
                    ).ended()
                    #expect(published.text == "\(index + 1)\n", "\(published.errors)")
                    expected += "\(index + 1) python/text \(text)\n"
                    #expect(try await workshop.run("get", "\(index + 1)", "-s", broker.server).output == bytes)
                }
                let subscribed = try await workshop.spawn(
                    ["python3", script, "\(broker.port)", "sub", "python/#", "\(Corpus.chinese.count)"],
                    environment: ["PYTHONIOENCODING": "utf-8"]
                ).ended()
                #expect(subscribed.text == expected, "\(subscribed.errors)")
            }
        }

        // MARK: Steps

        private func count(_ courses: [Course], _ isMeant: (String) -> Bool) -> Int {
            courses.filter { isMeant($0.topic) }.reduce(0) { $0 + $1.messages.count }
        }

        /// Three publishers at a time, each with its share of the courses.
        private func publish(_ courses: [Course], _ workshop: Workshop, _ broker: BrokerChild) async throws {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for share in 0..<3 {
                    let mine = courses.enumerated().filter { $0.offset % 3 == share }.map { $0.element }
                    group.addTask {
                        for course in mine {
                            let finished = try await workshop.run(
                                ["pub", course.topic, "-s", broker.server] + course.arguments, input: course.input)
                            #expect(finished.end == .exited(0), "\(course.topic): \(finished.errors)")
                        }
                    }
                }
                try await group.waitForAll()
            }
        }

        /// What came live, against what was published: byte for byte, each course in its order, in rising seqs.
        private func check(_ records: [Record], against courses: [Course]) throws {
            #expect(zip(records, records.dropFirst()).allSatisfy { $0.seq < $1.seq })
            let byTopic = Dictionary(grouping: records) { $0.topic }
            #expect(Set(byTopic.keys) == Set(courses.map(\.topic)))
            for course in courses {
                let records = byTopic[course.topic] ?? []
                try #require(records.count == course.messages.count, "\(course.topic)")
                for (index, (record, message)) in zip(records, course.messages).enumerated() {
                    let place = Comment("\(course.topic), message \(index)")
                    #expect(record.contentType == course.contentType, place)
                    #expect(record.charset == course.charset, place)
                    #expect(record.contentEncoding == course.contentEncoding, place)
                    #expect(record.byteOrder == course.byteOrder, place)
                    // The bytes of what the publisher compressed are checked by inflating them, in checkHistory.
                    let isSame = course.isCompressedByPublisher || record.payload == message.payload
                    #expect(isSame, place)
                }
            }
        }

        /// `history --json`: text decoded and inflated as declared, everything else as base64.
        private func checkHistory(
            _ arrived: [Record], _ courses: [Course], _ workshop: Workshop, _ broker: BrokerChild
        ) async throws {
            let lines = try await workshop.done("history", "--json", "-s", broker.server).lines
            try #require(lines.count == arrived.count)
            var expected = Dictionary(uniqueKeysWithValues: courses.map { ($0.topic, $0.messages[...]) })
            for (line, record) in zip(lines, arrived) {
                let row = try JSONLine(Data(line.utf8))
                #expect(row.record(payload: record.payload) == record)
                #expect(row.size == record.payload.count)
                let next = expected[record.topic]?.popFirst()
                let message = try #require(next)
                if let text = message.text {
                    // By their bytes: Swift's strings count é and e+◌́ as equal.
                    #expect(row.text.map { Array($0.utf8) } == Array(text.utf8), "seq \(row.seq), \(row.topic)")
                } else {
                    #expect(row.base64.map { [UInt8]($0) } == record.payload, "seq \(row.seq), \(row.topic)")
                }
            }
        }

        /// The first of each topic, and the last.
        private func checkGet(_ arrived: [Record], _ workshop: Workshop, _ broker: BrokerChild) async throws {
            for records in Dictionary(grouping: arrived, by: \.topic).values {
                for record in Set([records[0], records[records.count - 1]]) {
                    let finished = try await workshop.run("get", "\(record.seq)", "-s", broker.server)
                    #expect(finished.end == .exited(0))
                    #expect(finished.output == record.payload, "seq \(record.seq), \(record.topic)")
                }
            }
        }

        private func checkSQL(_ arrived: [Record], _ courses: [Course], _ workshop: Workshop) async throws {
            let rows = try await workshop.sql(
                """
                SELECT seq, topic, content_type, charset, content_encoding, byte_order, payload, size, text FROM history
                ORDER BY seq
                """)
            let records = try rows.map { row in
                Record(
                    seq: try #require(row[0].text.flatMap { UInt64($0) }), topic: try #require(row[1].text),
                    contentType: row[2].text, charset: row[3].text, contentEncoding: row[4].text,
                    byteOrder: row[5].text, payload: [UInt8](try #require(row[6].blob)))
            }
            #expect(records == arrived)
            for (row, record) in zip(rows, arrived) {
                #expect(row[7].text == "\(record.payload.count)")
                let isPlain = record.charset == "utf-8" && record.contentEncoding == nil
                #expect(row[8].text.map { Array($0.utf8) } == (isPlain ? record.payload : nil), "seq \(record.seq)")
            }
        }
    }
}

/// `apus sub` that is subscribed.
private struct Listener: Sendable {
    let child: Child

    static func start(
        _ filter: String, _ workshop: Workshop, _ broker: BrokerChild, _ options: String...
    ) async throws -> Listener {
        try await start([filter], workshop, broker, options)
    }

    static func start(
        _ filters: [String], _ workshop: Workshop, _ broker: BrokerChild, _ options: String...
    ) async throws -> Listener {
        try await start(filters, workshop, broker, options)
    }

    private static func start(
        _ filters: [String], _ workshop: Workshop, _ broker: BrokerChild, _ options: [String]
    ) async throws -> Listener {
        let child = try workshop.apus(
            ["sub"] + filters + ["-s", broker.server, "--verbose", "-F", Record.format] + options)
        try await child.says("subscribed")
        return Listener(child: child)
    }

    func records() async throws -> [Record] {
        let finished = try await child.ended()
        #expect(finished.end == .exited(0), "\(finished.errors)")
        return try Record.parse(finished.output)
    }
}

/// A subscriber with a tiny receive buffer, which reads a few bytes each time another one has got something.
private enum SlowListener {
    static func start(
        _ broker: BrokerChild, total: Int, whenever other: Listener
    ) async throws -> Task<[Record], any Error> {
        let client = try await onThread {
            let client = try RawClient(port: broker.port, receiveBytes: 2_048)
            try client.subscribe("#")
            return Handed(client)
        }
        return Task {
            try await onThread {
                let client = client.value
                var records: [Record] = []
                var seen = 0
                while records.count < total {
                    while let frame = try client.frameAtHand() {
                        if frame.header.kind == "message" { records.append(Record(frame)) }
                    }
                    let before = seen
                    try other.child.watched.block(for: "the others to go on") { $0.output.count > before || $0.isOver }
                    seen = other.child.watched.read { $0.output.count }
                    if records.count < total { try client.receive(bytesMax: 4_096) }
                }
                return records
            }
        }
    }
}
