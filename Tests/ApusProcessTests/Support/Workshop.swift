import Foundation
import Glibc
import NIOConcurrencyHelpers

/// What one test works with: a folder of its own and the processes that it starts. Both are gone afterwards.
final class Workshop: Sendable {
    let folder: String
    private let children = NIOLockedValueBox<[Child]>([])

    /// The built `apus` stands beside the test bundle.
    static let apus = Bundle.module.bundleURL.deletingLastPathComponent().appendingPathComponent("apus").path

    private init() throws {
        var template = Array(
            FileManager.default.temporaryDirectory.appendingPathComponent("apus-process-XXXXXX").path.utf8CString)
        guard mkdtemp(&template) != nil else { throw Unexpected("no folder: \(String(cString: strerror(errno)))") }
        folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    static func open<T: Sendable>(_ body: (Workshop) async throws -> T) async throws -> T {
        let workshop = try Workshop()
        do {
            let result = try await body(workshop)
            try await workshop.close()
            return result
        } catch {
            try? await workshop.close()
            throw error
        }
    }

    private func close() async throws {
        let children = children.withLockedValue { $0 }
        for child in children {
            child.signal(SIGKILL)
            child.closeInput()
            child.closeOutput()
        }
        for child in children { try await child.ended() }
        try FileManager.default.removeItem(atPath: folder)
    }

    // MARK: Files

    func path(_ name: String) -> String { "\(folder)/\(name)" }

    @discardableResult
    func file(_ name: String, _ bytes: some Sequence<UInt8>) throws -> String {
        try Data(bytes).write(to: URL(fileURLWithPath: path(name)))
        return path(name)
    }

    func exists(_ name: String) -> Bool { FileManager.default.fileExists(atPath: path(name)) }

    /// nil where there is no such file.
    func size(_ name: String) -> Int? {
        var status = stat()
        return stat(path(name), &status) == 0 ? Int(status.st_size) : nil
    }

    // MARK: Processes

    func spawn(
        _ arguments: [String], input: Child.Input = .nothing, output: Child.Output = .collected,
        environment: [String: String] = [:]
    ) throws -> Child {
        let child = try Child(arguments, input: input, output: output, environment: environment)
        children.withLockedValue { $0.append(child) }
        return child
    }

    /// Starts `apus` and goes on.
    func apus(
        _ arguments: String..., input: Child.Input = .nothing, output: Child.Output = .collected,
        environment: [String: String] = [:]
    ) throws -> Child {
        try apus(arguments, input: input, output: output, environment: environment)
    }

    func apus(
        _ arguments: [String], input: Child.Input = .nothing, output: Child.Output = .collected,
        environment: [String: String] = [:]
    ) throws -> Child {
        try spawn([Workshop.apus] + arguments, input: input, output: output, environment: environment)
    }

    /// Runs `apus` to its end.
    func run(
        _ arguments: String..., input: Child.Input = .nothing, environment: [String: String] = [:],
        seconds: Double = Patience.seconds
    ) async throws -> Finished {
        try await run(arguments, input: input, environment: environment, seconds: seconds)
    }

    func run(
        _ arguments: [String], input: Child.Input = .nothing, environment: [String: String] = [:],
        seconds: Double = Patience.seconds
    ) async throws -> Finished {
        try await apus(arguments, input: input, environment: environment).ended(seconds: seconds)
    }

    /// Runs `apus`, which has to succeed.
    @discardableResult
    func done(_ arguments: String..., input: Child.Input = .nothing) async throws -> Finished {
        let finished = try await run(arguments, input: input)
        guard finished.end == .exited(0) else {
            throw Unexpected("apus \(arguments.joined(separator: " ")): \(finished.end): \(finished.errors)")
        }
        return finished
    }

    /// Starts a broker, and returns when it listens.
    ///
    /// - Parameter wrapper: a command that runs the one after it.
    func broker(
        db: String = "apus.db", port: Int = 0, _ arguments: String..., wrapper: [String] = []
    ) async throws -> BrokerChild {
        let path = db.hasPrefix("/") ? db : path(db)
        let child = try spawn(
            wrapper + [Workshop.apus, "serve", "--db", path, "--listen", "127.0.0.1:\(port)"] + arguments)
        let line = try await child.says("listening on apus://")
        guard let colon = line.lastIndex(of: ":"), let port = Int(line[line.index(after: colon)...]) else {
            throw Unexpected("no port in \"\(line)\"")
        }
        return BrokerChild(child: child, port: port)
    }

    // MARK: Looking into a log with other people's tools

    /// Runs SQL on a log with Python's own SQLite, read-only, and returns the rows.
    ///
    /// Python, because every test machine has it: the `sqlite3` command need not be there.
    func sql(_ statement: String, db: String = "apus.db") async throws -> [[SQLValue]] {
        let script = """
            import base64, json, pathlib, sqlite3, sys
            db = sqlite3.connect(pathlib.Path(sys.argv[1]).as_uri() + "?mode=ro", uri=True)
            for row in db.execute(sys.argv[2]):
                print(json.dumps([{"blob": base64.b64encode(v).decode()} if isinstance(v, bytes)
                    else {} if v is None else {"text": str(v)} for v in row]))
            """
        let finished = try await spawn(["python3", "-c", script, path(db), statement]).ended()
        guard finished.end == .exited(0) else { throw Unexpected("python3: \(finished.errors)") }
        return try finished.lines.map { try JSONDecoder().decode([SQLValue].self, from: Data($0.utf8)) }
    }
}

struct SQLValue: Decodable, Sendable {
    /// Of a text or a number.
    var text: String?
    var blob: Data?
}

/// A broker that listens.
struct BrokerChild: Sendable {
    let child: Child
    let port: Int

    var server: String { "apus://127.0.0.1:\(port)" }

    /// Asks for an orderly end, and waits for it.
    @discardableResult
    func stop() async throws -> Finished {
        child.signal(SIGTERM)
        return try await child.ended()
    }

    func killNow() async throws {
        child.signal(SIGKILL)
        try await child.ended()
    }

    /// Resident memory in bytes.
    var residentBytes: Int {
        get throws {
            let text = try String(contentsOfFile: "/proc/\(child.pid)/status", encoding: .utf8)
            for line in text.split(separator: "\n") where line.hasPrefix("VmRSS:") {
                if let kilobytes = Int(line.split(separator: " ").dropLast().last ?? "") { return kilobytes << 10 }
            }
            throw Unexpected("no VmRSS of process \(child.pid)")
        }
    }
}

/// Runs what blocks on a thread of its own, so that it keeps nobody else from running.
func onThread<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
    try await withCheckedThrowingContinuation { continuation in
        Thread.detachNewThread { continuation.resume(with: Result { try body() }) }
    }
}

/// Handed from one thread to the next, never used by two.
struct Handed<Value>: @unchecked Sendable {
    let value: Value

    init(_ value: Value) { self.value = value }
}
