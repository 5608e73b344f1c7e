import ApusBroker
import ApusHTTP
import ApusModel
import ApusTesting
import ApusWire
import Foundation
import Logging
import NIOCore

/// An answer as it came.
struct Answer {
    let status: Int
    /// Names in small letters.
    let fields: [String: String]
    let body: String
}

/// A plain HTTP client: bytes on a socket, and a bound for every wait.
final class Browser {
    private let peer: ScriptedPeer
    private var rest: [UInt8] = []

    init(port: Int, receiveBytes: Int32? = nil) throws {
        peer = try ScriptedPeer(
            try SocketAddress(ipAddress: "127.0.0.1", port: port), way: .json, receiveBytes: receiveBytes)
    }

    func send(_ text: String) throws { try peer.send(Array(text.utf8)) }

    var hasInput: Bool { peer.hasInput }

    func close() { peer.close() }

    func get(_ path: String, method: String = "GET", _ fields: String..., body: String = "") throws -> Answer {
        let length = body.isEmpty ? "" : "Content-Length: \(body.utf8.count)\r\n"
        let lines = fields.map { "\($0)\r\n" }.joined()
        try send("\(method) \(path) HTTP/1.1\r\nHost: test\r\n\(length)\(lines)\r\n\(body)")
        return try answer(hasBody: method != "HEAD")
    }

    /// - Throws: `Ended` where the connection ends before the answer does.
    func answer(hasBody: Bool = true) throws -> Answer {
        let end = Array("\r\n\r\n".utf8)
        var head = rest.firstRange(of: end)
        while head == nil {
            try more()
            head = rest.firstRange(of: end)
        }
        guard let head else { throw Ended() }
        let lines = String(decoding: rest[..<head.lowerBound], as: UTF8.self).components(separatedBy: "\r\n")
        rest.removeSubrange(..<head.upperBound)
        let pairs = lines.dropFirst().map { line -> (String, String) in
            let colon = line.firstIndex(of: ":") ?? line.endIndex
            return (
                line[..<colon].lowercased(), line[colon...].dropFirst().trimmingCharacters(in: .whitespaces)
            )
        }
        let fields = Dictionary(pairs) { first, _ in first }
        let length = hasBody ? Int(fields["content-length"] ?? "") ?? 0 : 0
        while rest.count < length { try more() }
        let body = String(decoding: rest[..<length], as: UTF8.self)
        rest.removeSubrange(..<length)
        return Answer(status: Int(lines[0].split(separator: " ")[1]) ?? 0, fields: fields, body: body)
    }

    struct Ended: Error {}

    private func more() throws {
        guard let bytes = try peer.receive(max: 65_536), !bytes.isEmpty else { throw Ended() }
        rest += bytes
    }

    /// Whether the connection has ended; waits for bytes or the end.
    func hasEnded() throws -> Bool {
        do {
            return try peer.receive(max: 65_536)?.isEmpty ?? true
        } catch is ScriptedPeer.Failure {
            // A reset is an end, too.
            return true
        }
    }
}

/// Runs what blocks on a thread of its own: the threads of Swift's tasks stay free for who answers.
func blocking<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
        onThread { continuation.resume(with: Result { try body() }) }
    }
}

let noLog = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

/// A door on a free port of this machine, stopped afterwards.
func withDoor(
    _ pages: HTTPPages, limits: Limits = .defaults, _ body: @escaping @Sendable (Int) throws -> Void
) async throws {
    let door = try await HTTPDoor.start(
        HTTPDoor.Configuration(address: .tcp(host: "127.0.0.1", port: 0), limits: limits, logger: noLog), pages: pages)
    let port = door.port
    let outcome: Result<Void, any Error>
    do {
        outcome = .success(try await blocking { try body(port) })
    } catch {
        outcome = .failure(error)
    }
    await door.stop()
    try outcome.get()
}

extension HTTPPages {
    /// One metric, ready, everybody may see it.
    static func simple(_ change: (inout HTTPPages) -> Void = { _ in }) -> HTTPPages {
        var pages = HTTPPages(
            version: "9.9", metrics: { [MetricFamily(.connections, 3)] }, reasonsNotReady: { [] })
        change(&pages)
        return pages
    }
}
