internal import Glibc

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
        return .ok("socket", "unix:\(path) is there; the broker takes its place, unless somebody listens on it")
    }
}
