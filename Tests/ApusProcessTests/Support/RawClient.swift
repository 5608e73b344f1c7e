import Foundation
import Glibc

/// A client of its own, so that a mistake in the library cannot hide one in the broker: JSON frames over a plain socket.
/// For one thread; everything blocks, with a bound.
final class RawClient {
    struct Frame: Sendable {
        let header: Header
        let content: [UInt8]
    }

    /// Fields of every kind of frame that the broker sends.
    struct Header: Codable, Sendable {
        var kind: String
        var id: UInt64?
        var seq: UInt64?
        var count: UInt64?
        var level: String?
        var duplicate: Bool?
        var subscription: Int?
        var topic: String?
        var contentType: String?
        var charset: String?
        var contentEncoding: String?
        var byteOrder: String?
        var contentLength: Int?
        var lastID: UInt64?
        var log: String?
        var code: String?
        var message: String?
        var reason: String?
        var fatal: Bool?

        enum CodingKeys: String, CodingKey {
            case kind, id, seq, count, level, duplicate, subscription, topic, charset, log, code, message, reason, fatal
            case contentType = "content-type"
            case contentEncoding = "content-encoding"
            case byteOrder = "byte-order"
            case contentLength = "content-length"
            case lastID = "last-id"
        }
    }

    /// The peer has gone: with a reset, or after its last byte.
    struct Gone: Error {}

    private let descriptor: Int32
    private var received: [UInt8] = []
    private var start = 0
    private let decoder = JSONDecoder()

    /// - Parameter receiveBytes: the socket's receive buffer; nil leaves the system's.
    init(port: Int, receiveBytes: Int32? = nil) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        if let receiveBytes { set(SO_RCVBUF, receiveBytes) }
        set(SO_RCVTIMEO, timeval(tv_sec: Int(Patience.seconds), tv_usec: 0))
        set(SO_SNDTIMEO, timeval(tv_sec: Int(Patience.seconds), tv_usec: 0))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        let code = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard code == 0 else {
            let reason = String(cString: strerror(errno))
            throw Unexpected("no connection to port \(port): \(reason)")
        }
    }

    deinit { close(descriptor) }

    private func set<Value>(_ option: Int32, _ value: Value) {
        withUnsafeBytes(of: value) {
            _ = setsockopt(descriptor, SOL_SOCKET, option, $0.baseAddress, socklen_t($0.count))
        }
    }

    // MARK: Out

    /// - Parameter header: JSON.
    static func frame(_ header: String, _ content: [UInt8] = []) -> [UInt8] {
        let header = Array(header.utf8)
        return [UInt8(header.count >> 8), UInt8(header.count & 0xFF)] + header + content
    }

    static func publish(_ topic: String, id: UInt64? = nil, level: String? = nil, _ content: [UInt8]) -> [UInt8] {
        let id = id.map { ",\"id\":\($0)" } ?? ""
        let level = level.map { ",\"level\":\"\($0)\"" } ?? ""
        return frame("{\"topic\":\"\(topic)\"\(id)\(level),\"content-length\":\(content.count)}", content)
    }

    func send(_ bytes: [UInt8]) throws {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            if count >= 0 {
                sent += count
            } else if errno == EPIPE || errno == ECONNRESET {
                throw Gone()
            } else if errno != EINTR {
                throw Unexpected("sending: \(String(cString: strerror(errno)))")
            }
        }
    }

    /// Publishes under a name, if there is one.
    ///
    /// - Returns: the welcome.
    func hello(publisher: String? = nil) throws -> Header {
        try send(
            RawClient.frame("{\"kind\":\"hello\",\"version\":1\(publisher.map { ",\"publisher\":\"\($0)\"" } ?? "")}"))
        return try expect("welcome").header
    }

    /// - Parameter from: JSON.
    /// - Returns: the first seq that can come.
    func subscribe(_ filter: String, from: String = "\"now\"") throws {
        try send(
            RawClient.frame("{\"kind\":\"subscribe\",\"subscription\":1,\"filter\":\"\(filter)\",\"from\":\(from)}"))
        _ = try expect("subscribed")
    }

    func endSending() { shutdown(descriptor, Int32(SHUT_WR)) }

    // MARK: In

    /// Whether there is something to read, without waiting.
    var hasInput: Bool {
        var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return start < received.count || Glibc.poll(&poll, 1, 0) > 0
    }

    /// Reads at most so many bytes from the socket.
    ///
    /// - Throws: ``Gone`` at the end.
    func receive(bytesMax: Int = 64 << 10) throws {
        if start > 0, start * 2 > received.count {
            received.removeFirst(start)
            start = 0
        }
        while true {
            let count = withUnsafeTemporaryAllocation(byteCount: bytesMax, alignment: 1) { space in
                let count = recv(descriptor, space.baseAddress, space.count, 0)
                if count > 0 { received += UnsafeRawBufferPointer(rebasing: space[..<count]) }
                return count
            }
            if count > 0 { return }
            if count == 0 || errno == ECONNRESET { throw Gone() }
            guard errno == EINTR else { throw Unexpected("receiving: \(String(cString: strerror(errno)))") }
        }
    }

    /// Everything up to the end, which is no frame.
    func everything() throws -> [UInt8] {
        do {
            while true { try receive() }
        } catch is Gone {
            return Array(received[start...])
        }
    }

    /// - Returns: nil where it has not come yet.
    func frameAtHand() throws -> Frame? {
        guard received.count - start >= 2 else { return nil }
        let headerEnd = start + 2 + Int(received[start]) << 8 + Int(received[start + 1])
        guard received.count >= headerEnd else { return nil }
        let header = try decoder.decode(Header.self, from: Data(received[(start + 2)..<headerEnd]))
        let end = headerEnd + (header.contentLength ?? 0)
        guard received.count >= end else { return nil }
        start = end
        return Frame(header: header, content: Array(received[headerEnd..<end]))
    }

    /// The next frame; answers pings.
    ///
    /// - Throws: ``Gone`` at the end.
    func next() throws -> Frame {
        while true {
            if let frame = try frameAtHand() {
                guard frame.header.kind == "ping" else { return frame }
                try send(RawClient.frame("{\"kind\":\"pong\"}"))
            } else {
                try receive()
            }
        }
    }

    func expect(_ kind: String) throws -> Frame {
        let frame = try next()
        guard frame.header.kind == kind else { throw Unexpected("\(frame.header) instead of \(kind)") }
        return frame
    }
}
