import Foundation
import Glibc
import NIOConcurrencyHelpers

/// A process that a test started. It is killed when its ``Workshop`` closes, however the test ended.
final class Child: Sendable {
    enum Input: Sendable {
        case nothing
        case bytes([UInt8])
        case file(String)
        /// Written with ``Child/write(_:)`` and ended with ``Child/closeInput()``.
        case open
    }

    enum Output: Sendable {
        case collected
        case file(String)
        /// A pipe that nobody reads until ``Child/readOutput()``.
        case held
    }

    enum End: Sendable, Hashable {
        case exited(Int32)
        case killed(Int32)
    }

    struct State: Sendable {
        var output: [UInt8] = []
        var errors: [UInt8] = []
        var end: End?
        var openStreams = 0

        var errorText: String { String(decoding: errors, as: UTF8.self) }
        var outputText: String { String(decoding: output, as: UTF8.self) }
        /// It has ended and everything that it wrote is here.
        var isOver: Bool { end != nil && openStreams == 0 }
    }

    let pid: pid_t
    let name: String
    let watched: Watched<State>
    private let streams: Watched<Streams>

    private static let starting = NIOLock()

    private struct Streams: Sendable {
        var input: Int32 = -1
        var output: Int32 = -1
    }

    init(
        _ arguments: [String], input: Input = .nothing, output: Output = .collected, environment: [String: String] = [:]
    )
        throws
    {
        name = arguments.dropFirst().prefix(4).joined(separator: " ")
        let watched = Watched(State())
        self.watched = watched
        // One at a time, so that no other child inherits these pipes before they are marked close-on-exec.
        Child.starting.lock()
        defer { Child.starting.unlock() }
        var plan = SpawnPlan()
        defer { plan.closeChildEnds() }
        let inputEnd = try plan.input(input)
        let outputEnd = try plan.output(output)
        let errorEnd = try plan.outputPipe(STDERR_FILENO)
        var unread: Int32 = -1
        if case .held = output { unread = outputEnd }
        streams = Watched(Streams(input: inputEnd, output: unread))
        pid = try plan.spawn(arguments, environment: environment)
        watched.update { $0.openStreams = outputEnd >= 0 && unread < 0 ? 2 : 1 }
        Child.collect(errorEnd, into: watched) { $0.errors += $1 }
        if outputEnd >= 0, unread < 0 { Child.collect(outputEnd, into: watched) { $0.output += $1 } }
        Child.reap(pid, into: watched)
        if case .bytes(let bytes) = input {
            Thread.detachNewThread { [self] in
                try? write(bytes)
                closeInput()
            }
        }
    }

    // MARK: What a test does to it

    /// Blocks while the pipe is full.
    func write(_ bytes: [UInt8]) throws {
        let descriptor = streams.read { $0.input }
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw Unexpected("\(name) does not read: \(String(cString: strerror(errno)))") }
            sent += count
        }
    }

    func closeInput() {
        let descriptor = streams.update { streams in
            defer { streams.input = -1 }
            return streams.input
        }
        if descriptor >= 0 { close(descriptor) }
    }

    /// Begins to read what was held.
    func readOutput() {
        let descriptor = takeOutput()
        guard descriptor >= 0 else { return }
        watched.update { $0.openStreams += 1 }
        Child.collect(descriptor, into: watched) { $0.output += $1 }
    }

    /// Closes the reading end of what was held: the process writes into a closed pipe.
    func closeOutput() {
        let descriptor = takeOutput()
        if descriptor >= 0 { close(descriptor) }
    }

    private func takeOutput() -> Int32 {
        streams.update { streams in
            defer { streams.output = -1 }
            return streams.output
        }
    }

    /// Never reaches another process: the number is given back to the system only when the end is known here.
    func signal(_ number: Int32) {
        watched.read { if $0.end == nil { _ = kill(pid, number) } }
    }

    /// - Throws: ``TooLate`` if it goes on.
    @discardableResult
    func ended(seconds: Double = Patience.seconds) async throws -> Finished {
        do {
            return try await watched.wait(for: "the end of \(name)", seconds: seconds) { state in
                state.isOver ? state.end.map { Finished($0, state) } : nil
            }
        } catch {
            throw Unexpected("\(error); it said: \(watched.read { $0.errorText.suffix(2_000) })")
        }
    }

    /// Waits for a line of standard error that contains `text`.
    @discardableResult
    func says(_ text: String, times: Int = 1, seconds: Double = Patience.seconds) async throws -> String {
        let line = try await watched.wait(for: "\(name) to say \"\(text)\"", seconds: seconds) { state -> String?? in
            let lines = state.errorText.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
            let matches = lines.filter { $0.contains(text) }
            if matches.count >= times { return .some(String(matches[times - 1])) }
            return state.isOver ? .some(nil) : nil
        }
        guard let line else {
            let state = watched.read { $0 }
            throw Unexpected(
                "\(name) ended (\(state.end.map { "\($0)" } ?? "?")) without saying \"\(text)\": \(state.errorText)")
        }
        return line
    }

    // MARK: Threads

    private static func collect(
        _ descriptor: Int32, into watched: Watched<State>,
        _ append: @escaping @Sendable (inout State, ArraySlice<UInt8>) -> Void
    ) {
        Thread.detachNewThread {
            var buffer = [UInt8](repeating: 0, count: 256 << 10)
            while true {
                let count = buffer.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress, $0.count) }
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { break }
                watched.update { append(&$0, buffer[..<count]) }
            }
            close(descriptor)
            watched.update { $0.openStreams -= 1 }
        }
    }

    private static func reap(_ pid: pid_t, into watched: Watched<State>) {
        Thread.detachNewThread {
            var info = siginfo_t()
            while waitid(P_PID, id_t(pid), &info, WEXITED | WNOWAIT) < 0, errno == EINTR {}
            watched.update { state in
                var status: Int32 = 0
                while waitpid(pid, &status, 0) < 0, errno == EINTR {}
                let signal = status & 0x7F
                state.end = signal == 0 ? .exited((status >> 8) & 0xFF) : .killed(signal)
            }
        }
    }
}

/// A process that has ended, and what it wrote.
struct Finished: Sendable {
    let end: Child.End
    let output: [UInt8]
    let errors: String

    init(_ end: Child.End, _ state: Child.State) {
        self.end = end
        output = state.output
        errors = state.errorText
    }

    /// The exit code; -1 where a signal ended it.
    var code: Int32 { if case .exited(let code) = end { code } else { -1 } }
    var text: String { String(decoding: output, as: UTF8.self) }
    var lines: [String] { text.split(separator: "\n").map(String.init) }
}

/// Descriptors for the child, and the child.
private struct SpawnPlan {
    private var wiring: [(from: Int32, to: Int32)] = []

    mutating func input(_ input: Child.Input) throws -> Int32 {
        switch input {
        case .nothing:
            try open("/dev/null", O_RDONLY, as: STDIN_FILENO)
            return -1
        case .file(let path):
            try open(path, O_RDONLY, as: STDIN_FILENO)
            return -1
        case .bytes, .open:
            let ends = try pipe()
            wiring.append((ends.read, STDIN_FILENO))
            return ends.write
        }
    }

    mutating func output(_ output: Child.Output) throws -> Int32 {
        guard case .file(let path) = output else { return try outputPipe(STDOUT_FILENO) }
        try open(path, O_WRONLY | O_CREAT | O_TRUNC, as: STDOUT_FILENO)
        return -1
    }

    mutating func outputPipe(_ number: Int32) throws -> Int32 {
        let ends = try pipe()
        wiring.append((ends.write, number))
        return ends.read
    }

    private mutating func open(_ path: String, _ flags: Int32, as number: Int32) throws {
        let descriptor = Glibc.open(path, flags | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw Unexpected("cannot open \(path): \(String(cString: strerror(errno)))") }
        wiring.append((descriptor, number))
    }

    private func pipe() throws -> (read: Int32, write: Int32) {
        var ends: [Int32] = [-1, -1]
        guard Glibc.pipe(&ends) == 0 else { throw Unexpected("no pipe: \(String(cString: strerror(errno)))") }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        return (ends[0], ends[1])
    }

    func closeChildEnds() {
        for (descriptor, _) in wiring { close(descriptor) }
    }

    func spawn(_ arguments: [String], environment: [String: String]) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for (from, to) in wiring { posix_spawn_file_actions_adddup2(&actions, from, to) }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // As a shell would start it, whatever the test process has done to its own signals.
        var signals = sigset_t()
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK))
        var variables = ProcessInfo.processInfo.environment
        // What the developer has set for other brokers is not meant for these.
        for name in variables.keys.filter({ $0.hasPrefix("APUS_") }) { variables[name] = nil }
        // Times and messages are compared; the user's language does not matter.
        variables["LC_ALL"] = "C.UTF-8"
        variables.merge(environment) { $1 }
        var argumentPointers = arguments.map { strdup($0) } + [nil]
        var variablePointers = variables.map { strdup("\($0)=\($1)") } + [nil]
        defer { for pointer in argumentPointers + variablePointers { free(pointer) } }
        var pid: pid_t = 0
        let code = posix_spawnp(&pid, arguments[0], &actions, &attributes, &argumentPointers, &variablePointers)
        guard code == 0 else { throw Unexpected("cannot start \(arguments[0]): \(String(cString: strerror(code)))") }
        return pid
    }
}
