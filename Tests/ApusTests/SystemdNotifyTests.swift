import Foundation
import Glibc
import Testing

@testable import apus

@Suite("Telling the service manager")
struct SystemdNotifyTests {
    @Test("goes to the socket that is named, a file or an abstract name", arguments: [true, false])
    func messages(isAbstract: Bool) throws {
        let receiver = try Receiver(isAbstract: isAbstract)
        let notify = try #require(
            SystemdNotify(environment: ["NOTIFY_SOCKET": receiver.name, "WATCHDOG_USEC": "500000"]))
        #expect(notify.watchdogMicroseconds == 500_000)
        notify.ready("listening\non 1")
        #expect(try receiver.next() == "READY=1\nSTATUS=listening on 1")
        notify.watchdog()
        #expect(try receiver.next() == "WATCHDOG=1")
        notify.status("fine")
        #expect(try receiver.next() == "STATUS=fine")
        let before = ClockCheck.microseconds(CLOCK_MONOTONIC)
        notify.reloading()
        let lines = try receiver.next().split(separator: "\n")
        #expect(lines.first == "RELOADING=1")
        let time = try #require(lines.last?.split(separator: "=").last.flatMap { Int64($0) })
        #expect(lines.last?.hasPrefix("MONOTONIC_USEC=") == true)
        #expect((before...ClockCheck.microseconds(CLOCK_MONOTONIC)).contains(time))
        notify.stopping()
        #expect(try receiver.next() == "STOPPING=1\nSTATUS=stopping")
    }

    @Test("is left alone where nobody listens, or the name is none")
    func nobody() {
        #expect(SystemdNotify(environment: [:]) == nil)
        for name in ["", "/", "relative", String(repeating: "/a", count: 100)] {
            #expect(SystemdNotify(environment: ["NOTIFY_SOCKET": name]) == nil, "\(name)")
        }
        // A socket that is gone harms nobody.
        SystemdNotify(environment: ["NOTIFY_SOCKET": "/nonexistent/socket"])?.ready("x")
    }

    @Test("has a watchdog only where it is for this process")
    func watchdog() {
        func microseconds(_ more: [String: String]) -> UInt64? {
            SystemdNotify(environment: ["NOTIFY_SOCKET": "/x"].merging(more) { $1 }, process: 42)?.watchdogMicroseconds
        }
        #expect(microseconds([:]) == nil)
        #expect(microseconds(["WATCHDOG_USEC": "9"]) == 9)
        #expect(microseconds(["WATCHDOG_USEC": "9", "WATCHDOG_PID": "42"]) == 9)
        #expect(microseconds(["WATCHDOG_USEC": "9", "WATCHDOG_PID": "1"]) == nil)
        #expect(microseconds(["WATCHDOG_USEC": "0"]) == nil)
        #expect(microseconds(["WATCHDOG_USEC": "soon"]) == nil)
    }
}

/// A datagram socket that somebody may send to.
private final class Receiver {
    /// As `NOTIFY_SOCKET` has it.
    let name: String
    private let descriptor: Int32
    private let path: String?

    init(isAbstract: Bool) throws {
        let unique = "apus-\(UUID().uuidString.prefix(8))"
        path = isAbstract ? nil : "\(NSTemporaryDirectory())/\(unique)"
        name = path ?? "@\(unique)"
        descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        var bytes = Array(name.utf8)
        if isAbstract { bytes[0] = 0 }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        let size = socklen_t(MemoryLayout<sa_family_t>.size + bytes.count + (isAbstract ? 0 : 1))
        let code = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, size) }
        }
        guard code == 0 else { throw POSIXError(.init(rawValue: errno) ?? .EIO) }
    }

    deinit {
        close(descriptor)
        if let path { unlink(path) }
    }

    /// What was sent: it is there when the sender goes on.
    func next() throws -> String {
        var buffer = [UInt8](repeating: 0, count: 4_096)
        let count = recv(descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT))
        guard count >= 0 else { throw POSIXError(.init(rawValue: errno) ?? .EIO) }
        return String(decoding: buffer[..<count], as: UTF8.self)
    }
}
