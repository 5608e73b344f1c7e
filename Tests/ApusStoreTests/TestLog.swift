import ApusBroker
import ApusModel
import ApusStore
import Foundation
import Logging
import NIOConcurrencyHelpers
import NIOCore

/// A clock that moves when a test says so.
final class ManualClock: Sendable {
    private let value: NIOLockedValueBox<Microseconds>

    init(_ now: Microseconds = 1_700_000_000_000_000) { value = NIOLockedValueBox(now) }

    var now: Microseconds { value.withLockedValue { $0 } }
    func advance(seconds: Double) { value.withLockedValue { $0 += Int64(seconds * 1_000_000) } }
}

/// A directory of its own, gone with the test.
final class TestDirectory {
    let url: URL

    init() throws {
        url = FileManager.default.temporaryDirectory.appendingPathComponent("apus-store-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: url) }

    func path(_ name: String) -> String { url.appendingPathComponent(name).path }

    /// What lies there, by name.
    var names: [String] { ((try? FileManager.default.contentsOfDirectory(atPath: url.path)) ?? []).sorted() }
}

/// A store in a directory of its own, with clocks that stand still.
final class TestLog {
    let directory: TestDirectory
    let clock = ManualClock()
    let monotonic = ManualClock(0)
    var limits: Limits
    private(set) var store: Store
    let path: String
    /// Counts and breaks what SQLite does to the files.
    let disk: DiskFaults

    init(limits: Limits = .defaults) throws {
        directory = try TestDirectory()
        path = directory.path("apus.db")
        disk = FaultyDisk.watch(path)
        self.limits = limits
        store = try TestLog.open(path, limits, clock, monotonic)
    }

    static func open(
        _ path: String, _ limits: Limits = .defaults, _ clock: ManualClock = ManualClock(),
        _ monotonic: ManualClock = ManualClock(0), logger: Logger? = nil, migrate: Bool = true,
        schema: Schema = .current
    ) throws -> Store {
        try Store.open(
            path: path, limits: limits, migrate: migrate,
            logger: logger ?? Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, clock: { clock.now },
            monotonic: { monotonic.now }, schema: schema)
    }

    func reopen() throws {
        try store.close()
        store = try TestLog.open(path, limits, clock, monotonic)
    }

    /// The files as a killed broker leaves them: copied while the store is open.
    func copyAsKilled(_ name: String = "killed.db") throws -> String {
        let copy = directory.path(name)
        try FileManager.default.copyItem(atPath: path, toPath: copy)
        try FileManager.default.copyItem(atPath: path + "-wal", toPath: copy + "-wal")
        return copy
    }
}

let connection = ConnectionID(hub: 0, number: 1)

/// One message to publish, in words of a test.
struct Draft {
    var topic = "a/b"
    var payload = "x"
    var level = AckLevel.synced
    var id: UInt64?
    var isRetained = false
    var ttl: UInt32 = 0
    var headers = ""
    var key = ""
    var encoding = Encoding.undeclared

    init(
        _ topic: String = "a/b", _ payload: String = "x", level: AckLevel = .synced, id: UInt64? = nil,
        isRetained: Bool = false, ttl: UInt32 = 0, headers: String = "", key: String = "",
        encoding: Encoding = .undeclared
    ) {
        self.topic = topic
        self.payload = payload
        self.level = level
        self.id = id
        self.isRetained = isRetained
        self.ttl = ttl
        self.headers = headers
        self.key = key
        self.encoding = encoding
    }
}

func submission(_ drafts: [Draft], publisher: PublisherHandle? = nil) throws -> IntakeItem {
    var result = Submission(connection: connection, publisher: publisher, arena: ByteBuffer())
    func slice(_ text: String) -> Slice {
        let slice = Slice(offset: UInt32(result.arena.writerIndex), length: UInt32(text.utf8.count))
        result.arena.writeString(text)
        return slice
    }
    var topics: [String: UInt32] = [:]
    var encodings: [Encoding: UInt32] = [:]
    for draft in drafts {
        if topics[draft.topic] == nil {
            topics[draft.topic] = UInt32(result.topics.count)
            result.topics.append(try Topic(draft.topic))
        }
        if encodings[draft.encoding] == nil {
            encodings[draft.encoding] = UInt32(result.encodings.count)
            result.encodings.append(draft.encoding)
        }
        result.messages.append(
            PendingMessage(
                id: draft.id ?? 0, hasID: draft.id != nil, level: draft.level, isRetained: draft.isRetained,
                topic: topics[draft.topic] ?? 0,
                encoding: encodings[draft.encoding] ?? 0, ttl: draft.ttl,
                headers: slice(draft.headers), key: slice(draft.key), payload: slice(draft.payload)))
    }
    return .publish(result)
}

extension Store {
    @discardableResult
    func publish(_ drafts: [Draft], publisher: PublisherHandle? = nil) throws -> CommitOutcome {
        try append([try submission(drafts, publisher: publisher)])
    }

    @discardableResult
    func publish(_ topic: String, count: Int, level: AckLevel = .synced) throws -> CommitOutcome {
        try publish((0..<count).map { Draft(topic, "payload \($0)", level: level) })
    }

    func openPublisher(_ name: String, user: String = "u") throws -> (handle: PublisherHandle, lastID: UInt64) {
        let outcome = try append([.openPublisher(OpenPublisher(connection: connection, user: user, name: name))])
        guard case .opened(let handle, let lastID) = outcome.answers[0] else { throw Unexpected(outcome.answers[0]) }
        return (handle, lastID)
    }

    /// All that match, page by page; also checks that the pages' intervals meet.
    func readAll(
        _ filters: FilterSet = .all, after: Seq = 0, bytesMax: Int = 1 << 20, countMax: Int = 1_000
    ) throws -> [Row] {
        var rows: [Row] = []
        var position = after
        let head = head
        while position < head {
            let page = try page(
                PageRequest(filters: filters, after: position, through: head, bytesMax: bytesMax, countMax: countMax))
            guard page.after == position, page.through > position else { throw Unexpected(page) }
            rows += page.rows
            position = page.through
        }
        return rows
    }
}

extension Store {
    /// Only where the messages stand, in pages of a few thousand.
    func readSeqs(_ filters: FilterSet) throws -> [Seq] {
        var seqs: [Seq] = []
        var position: Seq = 0
        let head = head
        while position < head {
            let page = try page(
                PageRequest(filters: filters, after: position, through: head, bytesMax: 1 << 20, countMax: 3_000))
            guard page.after == position, page.through > position else { throw Unexpected(page) }
            seqs += page.messages.map(\.seq)
            position = page.through
        }
        return seqs
    }
}

/// A message of a batch, with what it refers to.
struct Row: Equatable {
    var seq: Seq
    var time: Microseconds
    var topic: String
    var payload: String
    var headers: String
    var key: String
    var encoding: Encoding
    var publisher: String?
}

extension MessageBatch {
    var rows: [Row] {
        messages.map { message in
            func text(_ slice: Slice) -> String {
                arenas[Int(message.arena)].getString(at: Int(slice.offset), length: Int(slice.length)) ?? "?"
            }
            let hasPublisher = message.publisher != StoredMessage.noPublisher
            return Row(
                seq: message.seq, time: message.receivedAt, topic: topics[Int(message.topic)].name,
                payload: text(message.payload), headers: text(message.headers), key: text(message.key),
                encoding: encodings[Int(message.encoding)],
                publisher: hasPublisher ? publishers[Int(message.publisher)] : nil)
        }
    }
}

extension CommitOutcome {
    /// The runs of the only item.
    var runs: [PublishedRun] {
        guard answers.count == 1, case .publish(let answers) = answers[0] else { return [] }
        return answers.compactMap { if case .published(let run) = $0 { run } else { nil } }
    }

    var refusals: [ApusError] {
        answers.flatMap { answer -> [ApusError] in
            switch answer {
            case .refused(let error): [error]
            case .publish(let answers):
                answers.compactMap { if case .refused(_, let error) = $0 { error } else { nil } }
            case .opened: []
            }
        }
    }
}

struct Unexpected: Error, CustomStringConvertible {
    let description: String
    init(_ what: Any) { description = "unexpected: \(what)" }
}

func filters(_ texts: String...) throws -> FilterSet {
    FilterSet(try texts.map { (text) throws(ApusError) in try TopicFilter(text) })
}

/// What somebody who may read only this sees of it.
func restricted(_ set: FilterSet, _ allow: [String], deny: [String] = []) throws -> FilterSet {
    let rights = TopicRights(
        allow: try allow.map { (text) throws(ApusError) in try TopicFilter(text) },
        deny: try deny.map { (text) throws(ApusError) in try TopicFilter(text) })
    guard let restricted = set.restricted(to: rights) else { throw Unexpected("nothing is left of \(set)") }
    return restricted
}
