internal import Glibc

/// Tells the service manager how the broker is: systemd's notification protocol, a datagram a message to the socket that
/// `NOTIFY_SOCKET` names. Nothing waits for it, and nothing fails because of it.
struct SystemdNotify: Sendable {
    /// A path, or, with NUL in front, an abstract name.
    private let address: [UInt8]
    /// How often the service manager wants to hear of us; nil where it has no watchdog for this process.
    let watchdogMicroseconds: UInt64?

    /// - Returns: nil where nobody wants to be told.
    init?(environment: [String: String], process: Int32 = getpid()) {
        guard let name = environment["NOTIFY_SOCKET"], name.utf8.count > 1 else { return nil }
        var address = Array(name.utf8)
        switch address[0] {
        case UInt8(ascii: "/"): break
        case UInt8(ascii: "@"): address[0] = 0
        default: return nil
        }
        guard address.count < MemoryLayout.size(ofValue: sockaddr_un().sun_path) else { return nil }
        self.address = address
        let isForUs = environment["WATCHDOG_PID"].map { $0 == "\(process)" } ?? true
        watchdogMicroseconds =
            isForUs ? environment["WATCHDOG_USEC"].flatMap(UInt64.init).flatMap { $0 > 0 ? $0 : nil } : nil
    }

    /// It listens and serves.
    func ready(_ status: String) { send(["READY=1", "STATUS=\(SystemdNotify.line(status))"]) }

    /// The settings are being read again; ``ready(_:)`` says when that is done.
    func reloading() { send(["RELOADING=1", "MONOTONIC_USEC=\(SystemdNotify.monotonicMicroseconds())"]) }

    func stopping() { send(["STOPPING=1", "STATUS=stopping"]) }

    func status(_ text: String) { send(["STATUS=\(SystemdNotify.line(text))"]) }

    /// It is alive.
    func watchdog() { send(["WATCHDOG=1"]) }

    private func send(_ lines: [String]) {
        let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        var name = sockaddr_un()
        name.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &name.sun_path) { $0.copyBytes(from: address) }
        // Of an abstract name every byte counts, so it ends where it ends.
        let offset = MemoryLayout<sockaddr_un>.size - MemoryLayout.size(ofValue: name.sun_path)
        let size = socklen_t(offset + address.count + (address[0] == 0 ? 0 : 1))
        let message = Array(lines.joined(separator: "\n").utf8)
        withUnsafePointer(to: &name) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                // A service manager that does not read is not waited for.
                _ = sendto(
                    descriptor, message, message.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT), $0, size)
            }
        }
    }

    /// A line break would begin another assignment.
    private static func line(_ text: String) -> String {
        String(text.map { $0.isNewline ? " " : $0 })
    }

    private static func monotonicMicroseconds() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000 + UInt64(time.tv_nsec) / 1_000
    }
}
