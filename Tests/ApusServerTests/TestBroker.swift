import ApusBroker
import ApusModel
import ApusServer
import ApusStore
import ApusTesting
import ApusWire
import Dispatch
import Foundation
import Logging
import NIOCore
import Testing

/// A broker on a free port of this machine.
struct TestBroker {
    let broker: Broker
    let addresses: [SocketAddress]
    /// Whether its first address speaks TLS: then peers do, too.
    let isTLS: Bool

    init(_ broker: Broker, _ bound: [BoundAddress]) {
        self.broker = broker
        addresses = bound.map(\.address)
        isTLS = bound.first?.isTLS ?? false
    }

    func peer(
        _ way: Way = .json, receiveBytes: Int32? = nil, sendBytes: Int32? = nil
    ) throws -> ScriptedPeer {
        try ScriptedPeer(
            addresses[0], way: way, receiveBytes: receiveBytes, sendBytes: sendBytes, tls: isTLS ? TLSPipe() : nil)
    }

    /// What `status` answers.
    func status() throws -> JSON {
        let peer = try peer()
        try peer.send(.query(Query(query: 1, select: .status)))
        guard case .row(let row)? = try peer.next() else { throw WaitedTooLong("a status row") }
        return try JSONParser.parse(String(buffer: row.content))
    }

    /// Asks for the status until it is as wished.
    func waitForStatus(_ name: String, _ isDone: (Int) -> Bool) throws {
        let deadline = NIODeadline.now() + .seconds(Int64(patienceSeconds))
        while NIODeadline.now() < deadline {
            if case .integer(let value)? = try status()[name], isDone(Int(value)) { return }
        }
        throw WaitedTooLong("the status \(name)")
    }
}

/// Runs `body` with a broker, and stops it in order.
///
/// All of it on a thread of its own, because a scripted peer blocks: the threads of Swift's tasks stay free for what the
/// broker does. A few at a time, so that tests do not slow each other.
func withBroker(
    _ store: any LogStore & LogQueries = MemoryStore(), limits: Limits = .with { _ in },
    configuration: Broker.Configuration = .with { _ in }, isStoppedByBody: Bool = false,
    _ body: @escaping (TestBroker) throws -> Void
) async throws {
    var configuration = configuration
    configuration.limits = limits
    let final = configuration
    // The test waits until the thread is done with it.
    nonisolated(unsafe) let body = body
    try await onOwnThread {
        let broker = try Broker(store: store, configuration: final)
        let outcome = Result {
            try body(TestBroker(broker, try block { try await broker.listen() }))
        }
        let stopped = Result { if !isStoppedByBody { try block { try await broker.stop() } } }
        try outcome.get()
        try stopped.get()
    }
}

extension Limits {
    static func with(_ change: (inout Limits) -> Void) -> Limits {
        var limits = Limits.defaults
        limits.drainSeconds = 2
        change(&limits)
        return limits
    }
}

extension ListenerConfiguration {
    /// On a free port of this machine, with the certificate of that name.
    static func tls(
        _ certificate: String = "server", clientCA: String? = nil,
        _ clientCertificates: TLSConfigurationFiles.ClientCertificates = .none
    ) -> ListenerConfiguration {
        ListenerConfiguration(
            .tcp(host: "127.0.0.1", port: 0),
            tls: TLSConfigurationFiles(
                certificate: TestCertificates.path("\(certificate).pem"),
                key: TestCertificates.path("\(certificate).key"),
                clientCA: clientCA.map(TestCertificates.path), clientCertificates: clientCertificates))
    }
}

extension Broker.Configuration {
    static let tls = Broker.Configuration.with { $0.listeners = [.tls()] }

    /// A free port of this machine, one event loop, no log.
    static func with(_ change: (inout Broker.Configuration) -> Void) -> Broker.Configuration {
        var configuration = Broker.Configuration()
        configuration.listeners = [ListenerConfiguration(.tcp(host: "127.0.0.1", port: 0))]
        configuration.eventLoops = 1
        configuration.logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        change(&configuration)
        return configuration
    }
}

private let turns = DispatchSemaphore(value: 3)

func onOwnThread(_ body: @escaping @Sendable () throws -> Void) async throws {
    try await withTaskExecutorPreference(ThreadExecutor()) {
        turns.waitForTurn()
        defer { turns.signal() }
        try body()
    }
}

extension DispatchSemaphore {
    /// Blocks a thread that is there for being blocked.
    fileprivate func waitForTurn() { wait() }
}

/// Runs each piece of a task on a new thread. What the test framework knows of the task stays with it.
private final class ThreadExecutor: TaskExecutor {
    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        onThread { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }
}

/// Waits on a thread for what is asynchronous.
func block<Value: Sendable>(_ work: @escaping @Sendable () async throws -> Value) throws -> Value {
    try begin(work)()
}

/// Begins what is asynchronous; the closure returned waits for it.
func begin<Value: Sendable>(_ work: @escaping @Sendable () async throws -> Value) -> () throws -> Value {
    let result = Watched<Result<Value, any Error>?>(nil)
    Task {
        do {
            let value = try await work()
            result.change { $0 = .success(value) }
        } catch {
            result.change { $0 = .failure(error) }
        }
    }
    return {
        try result.wait("a task") { $0 != nil }
        guard let result = result.value else { throw WaitedTooLong("a task") }
        return try result.get()
    }
}

/// A log in a folder of its own, gone with the test.
final class TemporaryLog {
    private let folder: URL
    let path: String

    init() throws {
        folder = FileManager.default.temporaryDirectory.appendingPathComponent("apus-server-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        path = folder.appendingPathComponent("apus.db").path
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    func open(topicsMax: Int = Limits.defaults.topicsMax) throws -> Store {
        let limits = Limits.with { $0.topicsMax = topicsMax }
        return try Store.open(
            path: path, limits: limits, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }
}

extension ScriptedPeer {
    struct Unexpected: Error, CustomStringConvertible {
        let description: String
        init(_ frame: Frame?, instead what: String) {
            description = "\(frame.map { "\($0)" } ?? "the end of the stream") instead of \(what)"
        }
    }

    func hello(_ change: (inout Hello) -> Void = { _ in }) throws -> Welcome {
        var hello = Hello()
        change(&hello)
        try send(.hello(hello))
        let frame = try next("welcome")
        guard case .welcome(let welcome)? = frame else { throw Unexpected(frame, instead: "welcome") }
        return welcome
    }

    /// The next frame that is no `subscribed`, `caught-up` or `ping`.
    func nextOwed(_ what: String) throws -> Frame? {
        while true {
            let frame = try next(what)
            switch frame {
            case .subscribed, .caughtUp, .ping: continue
            default: return frame
            }
        }
    }

    func published() throws -> PublishedRun {
        let frame = try nextOwed("published")
        guard case .published(let published)? = frame else { throw Unexpected(frame, instead: "published") }
        return published
    }

    /// Reads answers until `id` is answered; how many frames it took.
    @discardableResult
    func published(through id: UInt64) throws -> Int {
        var frames = 0
        repeat { frames += 1 } while try published().lastID != id
        return frames
    }

    func message() throws -> (seq: Seq, topic: String, payload: String) {
        let frame = try nextOwed("a message")
        guard case .message(let envelope)? = frame else { throw Unexpected(frame, instead: "a message") }
        let message = try envelope.message()
        return (message.seq, message.topic, String(buffer: message.payload))
    }

    func messages(_ count: Int) throws -> [String] { try (0..<count).map { _ in try message().payload } }

    func subscribed() throws {
        let frame = try next("subscribed")
        guard case .subscribed? = frame else { throw Unexpected(frame, instead: "subscribed") }
    }

    func error() throws -> ErrorReply {
        let frame = try nextOwed("an error")
        guard case .error(let reply)? = frame else { throw Unexpected(frame, instead: "an error") }
        return reply
    }

    func code() throws -> ApusError.Code { try error().error.code }

    func ping() throws {
        try send(.ping)
        let frame = try next("pong")
        guard case .pong? = frame else { throw Unexpected(frame, instead: "pong") }
    }

    /// Everything up to the end of the stream, in short.
    func rest() throws -> [String] {
        var rest: [String] = []
        while let frame = try next("the end") { rest.append(ScriptedPeer.text(frame)) }
        return rest
    }

    /// In short: `published 3@12`, `error id-order`, `message 5 payload` …
    static func text(_ frame: Frame) -> String {
        switch frame {
        case .published(let run): "published \(run.lastID.map { "\($0) " } ?? "")\(run.count)@\(run.lastSeq)"
        case .error(let reply): "error \(reply.error.code.rawValue)"
        case .message(let envelope): "message \(envelope.seq) \(String(buffer: envelope.content))"
        case .subscribed(let number, let next): "subscribed \(number) from \(next)"
        case .caughtUp(let number, let seq): "caught-up \(number) \(seq)"
        case .end(let end): "end \(end.query) \(end.count) \(end.reason)"
        case .row(let row): "row \(row.query) \(row.message?.seq ?? 0)"
        case .goodbye: "goodbye"
        case .pong: "pong"
        case .ping: "ping"
        case .welcome: "welcome"
        default: "\(frame)"
        }
    }
}

/// A message under any topic, also one that clients cannot publish to.
func reserved(_ topic: String) throws -> Submission {
    var submission = Submission(
        connection: ConnectionID(hub: 0, number: 0), publisher: nil, arena: ByteBuffer(string: "x"))
    submission.topics = [try Topic(topic)]
    submission.encodings = [.undeclared]
    submission.messages = [PendingMessage(payload: Slice(offset: 0, length: 1))]
    return submission
}
