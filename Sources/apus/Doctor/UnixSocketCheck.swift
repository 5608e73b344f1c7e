internal import Glibc
internal import NIOCore

/// Whether the broker can make its Unix socket where it should.
enum UnixSocketCheck {
    /// - Parameter broker: the process that runs a broker on the log, if one does.
    static func check(_ path: String, broker: Int?) -> Finding {
        let folder = LogPlace(path).folder
        guard access(folder, F_OK) == 0 else {
            return .warning(
                "socket", "unix:\(path): there is no folder \(folder)",
                "Make it, for the user that runs the broker; under systemd RuntimeDirectory= does.")
        }
        guard access(folder, W_OK | X_OK) == 0 else {
            return .problem(
                "socket", "unix:\(path): this user may not make files in \(folder)",
                "Give the folder to the user that runs the broker: chown.")
        }
        guard let status = LogPlace.status(path) else { return .ok("socket", "unix:\(path) is free") }
        guard status.st_mode & S_IFMT == S_IFSOCK else {
            return .problem(
                "socket", "unix:\(path): there is a file that is no socket", "Move it away, or listen somewhere else.")
        }
        if let broker { return .ok("socket", "unix:\(path) is there; process \(broker) runs a broker on this log") }
        guard isInUse(path) else { return .ok("socket", "unix:\(path) was left behind; the broker takes its place") }
        return .problem(
            "socket", "unix:\(path) is in use by another process",
            "`ss -lxp src \(path)` shows which; or listen on another path with --listen.")
    }

    /// Refused means that nobody listens.
    private static func isInUse(_ path: String) -> Bool {
        guard let address = try? SocketAddress(unixDomainSocketPath: path) else { return false }
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0)
        defer { close(descriptor) }
        return address.withSockAddr { connect(descriptor, $0, socklen_t($1)) } == 0 || errno != ECONNREFUSED
    }
}
