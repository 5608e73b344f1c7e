package import ApusBroker
package import ApusModel
internal import NIOConcurrencyHelpers
internal import NIOCore

/// A store that keeps everything in memory: for tests of what stands in front of the log.
///
/// It follows the port's rules (levels, deduplication, fencing, holes) and can be told to fail.
package final class MemoryStore: LogStore, LogQueries {
    package struct Faults: Sendable {
        /// The next commits are refused with this, as a full disk is.
        package var refusal: ApusError?
        /// The next commit throws this: its outcome is unknown.
        package var failure: ApusError?
        /// Before the next batch so many seqs are left out, as after an unclean stop.
        package var hole: Seq = 0
        /// No look-up that may take many steps comes to an end: each asks for another one.
        package var hasEndlessLookUps = false
    }

    private struct Record {
        var message: StoredMessage
        var topic: Topic
        var encoding: Encoding
        var arena: ByteBuffer
        var isRetained: Bool
        var publisher: String?
    }

    private struct Publisher {
        var name: String
        var epoch: UInt64 = 0
        var lastID: UInt64 = 0
        var refused = RefusedIDs()
        /// A publish of the epoch was refused: later ones are too, so that recorded ids stay a prefix.
        var isEnded = false
    }

    private struct State {
        var records: [Record] = []
        var head: Seq = 0
        var publishers: [Publisher] = []
        var faults = Faults()
        var pagesRead = 0
        var lookUpSteps = 0
        var commits = 0
    }

    private let state = NIOLockedValueBox(State())
    private let clock: @Sendable () -> Microseconds

    package init(clock: @escaping @Sendable () -> Microseconds = { 1_000_000 }) { self.clock = clock }

    package var head: Seq { state.withLockedValue { $0.head } }
    package var pagesRead: Int { state.withLockedValue { $0.pagesRead } }
    package var lookUpSteps: Int { state.withLockedValue { $0.lookUpSteps } }
    package var commits: Int { state.withLockedValue { $0.commits } }

    package func setFaults(_ change: (inout Faults) -> Void) { state.withLockedValue { change(&$0.faults) } }

    package func rest() throws(ApusError) -> Int64? { nil }
    package func close() throws(ApusError) {}

    // MARK: Writing

    package func append(_ items: [IntakeItem]) throws(ApusError) -> CommitOutcome {
        let now = clock()
        let result = state.withLockedValue { state -> Result<CommitOutcome, ApusError> in
            state.commits += 1
            if let failure = state.faults.failure { return .failure(failure) }
            if let refusal = state.faults.refusal {
                for case .publish(let submission) in items {
                    if let handle = submission.publisher { state.publishers[Int(handle.rowID)].isEnded = true }
                }
                return .success(CommitOutcome(batch: nil, answers: items.map { _ in .refused(refusal) }))
            }
            return .success(MemoryStore.record(items, now: now, &state))
        }
        return try result.get()
    }

    private static func record(_ items: [IntakeItem], now: Microseconds, _ state: inout State) -> CommitOutcome {
        let after = state.head
        state.head += state.faults.hole
        state.faults.hole = 0
        let first = state.records.count
        let answers = items.map { item -> ItemAnswer in
            switch item {
            case .publish(let submission): record(submission, now: now, &state)
            case .openPublisher(let open): self.open(open, &state)
            }
        }
        let records = state.records[first...]
        guard !records.isEmpty else {
            state.head = after
            return CommitOutcome(batch: nil, answers: answers)
        }
        return CommitOutcome(batch: batch(records, after: after, through: state.head), answers: answers)
    }

    private static func open(_ open: OpenPublisher, _ state: inout State) -> ItemAnswer {
        let index =
            state.publishers.firstIndex { $0.name == open.name }
            ?? {
                state.publishers.append(Publisher(name: open.name))
                return state.publishers.count - 1
            }()
        state.publishers[index].epoch += 1
        state.publishers[index].isEnded = false
        let publisher = state.publishers[index]
        return .opened(PublisherHandle(rowID: Int64(index), epoch: publisher.epoch), lastID: publisher.lastID)
    }

    private static func record(_ submission: Submission, now: Microseconds, _ state: inout State) -> ItemAnswer {
        var publisher: Int?
        if let handle = submission.publisher {
            publisher = Int(handle.rowID)
            let holder = state.publishers[Int(handle.rowID)]
            guard holder.epoch == handle.epoch, !holder.isEnded else {
                return .refused(.fatal(.fenced, "another connection publishes under this name"))
            }
        }
        var answers: [PublishAnswer] = []
        func add(_ run: PublishedRun) {
            if case .published(var last)? = answers.last, last.merge(run) {
                answers[answers.count - 1] = .published(last)
            } else {
                answers.append(.published(run))
            }
        }
        if let publisher {
            let known = state.publishers[publisher]
            state.publishers[publisher].refused.add(submission.refused, behind: known.lastID)
        }
        for pending in submission.messages {
            let id = pending.hasID ? pending.id : nil
            if let publisher, let id, let refusal = state.publishers[publisher].refused.error(of: id) {
                if pending.level != .none { answers.append(.refused(id: id, refusal)) }
                continue
            }
            if let publisher, let id, id <= state.publishers[publisher].lastID {
                if pending.level != .none {
                    add(PublishedRun(lastID: id, count: 1, lastSeq: 0, level: .synced, isDuplicate: true))
                }
                continue
            }
            state.head += 1
            state.records.append(
                Record(
                    message: StoredMessage(
                        seq: state.head, receivedAt: now,
                        expiresAt: pending.ttl == 0 ? 0 : now + Microseconds(pending.ttl) * 1_000_000, topic: 0,
                        encoding: 0, headers: pending.headers, key: pending.key, payload: pending.payload),
                    topic: submission.topics[Int(pending.topic)], encoding: submission.encodings[Int(pending.encoding)],
                    arena: submission.arena, isRetained: pending.isRetained,
                    publisher: publisher.map { state.publishers[$0].name }))
            if let publisher, let id { state.publishers[publisher].lastID = id }
            if pending.level != .none {
                add(PublishedRun(lastID: id, count: 1, lastSeq: state.head, level: .synced))
            }
        }
        return .publish(answers)
    }

    private static func batch(
        _ records: some Sequence<Record>, after: Seq, through: Seq, expired: [Seq] = []
    ) -> MessageBatch {
        var messages: [StoredMessage] = []
        var topics: [Topic] = []
        var encodings: [Encoding] = []
        var publishers: [String] = []
        var arenas: [ByteBuffer] = []
        func index<Value: Equatable>(_ value: Value, _ list: inout [Value]) -> UInt32 {
            if let index = list.firstIndex(of: value) { return UInt32(index) }
            list.append(value)
            return UInt32(list.count - 1)
        }
        for record in records {
            var message = record.message
            message.topic = index(record.topic, &topics)
            message.encoding = index(record.encoding, &encodings)
            message.arena = UInt32(arenas.count)
            if let publisher = record.publisher { message.publisher = index(publisher, &publishers) }
            arenas.append(record.arena)
            messages.append(message)
        }
        return MessageBatch(
            after: after, through: through, messages: messages, topics: topics, encodings: encodings,
            publishers: publishers, arenas: arenas, expired: expired)
    }

    // MARK: Reading

    package func page(_ request: PageRequest) throws(ApusError) -> MessageBatch {
        let now = clock()
        return state.withLockedValue { state in
            state.pagesRead += 1
            return MemoryStore.page(request, state.records.filter { request.filters.matches($0.topic) }, now)
        }
    }

    package func retained(_ request: PageRequest) throws(ApusError) -> MessageBatch {
        let now = clock()
        return state.withLockedValue { state in
            var latest: [Topic: Record] = [:]
            for record in state.records where record.isRetained {
                latest[record.topic] = record.message.payload.isEmpty ? nil : record
            }
            let records = latest.values.filter { request.filters.matches($0.topic) }
            return MemoryStore.page(request, records.sorted { $0.message.seq < $1.message.seq }, now)
        }
    }

    /// What has expired is left out, and named.
    private static func page(_ request: PageRequest, _ records: [Record], _ now: Microseconds) -> MessageBatch {
        let inside = records.filter { $0.message.seq > request.after && $0.message.seq <= request.through }
        var bytes = 0
        var taken: [Record] = []
        var expired: [Seq] = []
        for record in inside {
            if record.message.expiresAt != 0, record.message.expiresAt <= now {
                expired.append(record.message.seq)
                continue
            }
            guard taken.isEmpty || (taken.count < request.countMax && bytes < request.bytesMax) else { break }
            bytes += Int(record.message.payload.length)
            taken.append(record)
        }
        let isAll = taken.count + expired.count == inside.count
        let through = isAll ? request.through : taken.last?.message.seq ?? request.through
        return batch(taken, after: request.after, through: through, expired: expired.filter { $0 <= through })
    }

    /// Counts the step of a look-up.
    /// - Returns: whether it may come to an end.
    private func mayAnswer() -> Bool {
        state.withLockedValue { state in
            state.lookUpSteps += 1
            return !state.faults.hasEndlessLookUps
        }
    }

    package func start(_ lookUp: StartLookUp) throws(ApusError) -> LookUpStep<Seq, StartLookUp> {
        if case .last = lookUp.position, !mayAnswer() { return .goOn(lookUp) }
        let now = clock()
        let result = state.withLockedValue { state -> Result<Seq, ApusError> in
            func before(_ time: Microseconds) -> Seq {
                state.records.last { $0.message.receivedAt < time }?.message.seq ?? 0
            }
            switch lookUp.position {
            case .now, .lastPerTopic: return .success(state.head)
            case .start: return .success(0)
            case .seq(let seq) where seq > state.head + 1:
                return .failure(ApusError(.logChanged, "seq \(seq) was never given out by this log"))
            case .seq(let seq): return .success(seq == 0 ? 0 : seq - 1)
            case .time(let time): return .success(before(time))
            case .ago(let ago): return .success(before(now - ago))
            case .last(let count):
                let matching = state.records.filter { lookUp.filters.matches($0.topic) }
                guard count > 0 else { return .success(state.head) }
                guard count < matching.count else { return .success(0) }
                return .success(matching[matching.count - count].message.seq - 1)
            }
        }
        return .answer(try result.get())
    }

    // MARK: Queries

    package func bounds(_ lookUp: BoundsLookUp) throws(ApusError) -> LookUpStep<SeqRange, BoundsLookUp> {
        guard mayAnswer() else { return .goOn(lookUp) }
        let (head, conditions) = (head, lookUp.selection.conditions)
        let from = conditions.fromSeq ?? 0
        return .answer(SeqRange(after: from == 0 ? 0 : from - 1, through: min(head, conditions.toSeq ?? head)))
    }

    package func history(_ request: HistoryRequest) throws(ApusError) -> MessageBatch {
        let page = PageRequest(
            filters: request.selection.filters, after: request.after, through: request.through,
            bytesMax: request.bytesMax, countMax: request.countMax)
        return try self.page(page)
    }

    package func topics(_ lookUp: TopicsLookUp) throws(ApusError) -> LookUpStep<TopicPage, TopicsLookUp> {
        guard mayAnswer() else { return .goOn(lookUp) }
        return state.withLockedValue { state in
            var rows: [TopicRow] = []
            for record in state.records where lookUp.filters.matches(record.topic) {
                if let index = rows.firstIndex(where: { $0.topic == record.topic.name }) {
                    rows[index].messages += 1
                    rows[index].lastSeq = record.message.seq
                } else {
                    rows.append(TopicRow(topic: record.topic.name, messages: 1, lastSeq: record.message.seq))
                }
            }
            return .answer(TopicPage(rows: rows, next: nil))
        }
    }

    package func status() throws(ApusError) -> LogStatus {
        LogStatus(
            log: "memory", head: head, first: head == 0 ? 0 : 1, topics: 0, encodings: 0, publishers: 0, fileBytes: 0,
            walBytes: 0, path: ":memory:", sqliteVersion: "none")
    }
}
