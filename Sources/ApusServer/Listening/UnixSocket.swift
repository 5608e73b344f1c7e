internal import ApusModel
internal import Glibc
internal import NIOCore

/// A Unix socket in the file system: bound, not yet listening.
struct UnixSocket: Sendable {
    let descriptor: CInt
    let path: String
    /// The file's, so that at the end none is removed that somebody else has put there.
    private let device: dev_t
    private let inode: ino_t

    /// What the owner's group may do too. Others may not connect: file permissions are who authenticates here.
    private static let mode: mode_t = 0o660

    /// Takes the place of a socket that nobody listens on any more.
    ///
    /// - Throws: `unavailable`, with the reason.
    static func bind(_ path: String) throws(ApusError) -> UnixSocket {
        guard let address = try? SocketAddress(unixDomainSocketPath: path) else {
            throw ApusError(.usage, "unix:\(path) is no path for a Unix socket")
        }
        try makeRoom(path, address)
        let descriptor = try newSocket(path)
        do throws(ApusError) {
            // Until it has its mode nobody may connect who may not later: Linux gives the file the socket's own.
            _ = fchmod(descriptor, 0o600)
            guard address.withSockAddr({ bindSocket(descriptor, $0, socklen_t($1)) }) == 0 else { throw failure(path) }
            guard chmod(path, mode) == 0, let file = status(path) else {
                let error = failure(path)
                unlink(path)
                throw error
            }
            return UnixSocket(descriptor: descriptor, path: path, device: file.st_dev, inode: file.st_ino)
        } catch {
            _ = closeSocket(descriptor)
            throw error
        }
    }

    /// Removes the file, unless it is another's by now.
    func remove() {
        guard let file = UnixSocket.status(path), file.st_dev == device, file.st_ino == inode else { return }
        unlink(path)
    }

    private static func makeRoom(_ path: String, _ address: SocketAddress) throws(ApusError) {
        guard let file = status(path) else { return }
        guard file.st_mode & S_IFMT == S_IFSOCK else {
            throw ApusError(
                .unavailable, "cannot listen on unix:\(path): there is a file that is no socket",
                hint: "Move it away, or listen somewhere else.")
        }
        let probe = try newSocket(path)
        defer { _ = closeSocket(probe) }
        let code = address.withSockAddr { connect(probe, $0, socklen_t($1)) }
        // Refused means that nobody listens: its broker has ended without taking the file along.
        guard code != 0, errno == ECONNREFUSED else {
            if code != 0, errno != EAGAIN { throw failure(path) }
            throw ApusError(
                .unavailable, "unix:\(path) is in use by another process",
                hint: "`ss -lxp src \(path)` shows which; or listen on another path with --listen.")
        }
        guard unlink(path) == 0 else { throw failure(path) }
    }

    private static func newSocket(_ path: String) throws(ApusError) -> CInt {
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        let descriptor = socket(AF_UNIX, kind, 0)
        guard descriptor >= 0 else { throw failure(path) }
        return descriptor
    }

    private static func status(_ path: String) -> stat? {
        var file = stat()
        return lstat(path, &file) == 0 ? file : nil
    }

    private static func failure(_ path: String) -> ApusError {
        BindFailure.explain(IOError(errnoCode: errno, reason: "bind"), "unix:\(path)", port: nil)
    }
}

private func bindSocket(_ descriptor: CInt, _ address: UnsafePointer<sockaddr>, _ size: socklen_t) -> CInt {
    bind(descriptor, address, size)
}

private func closeSocket(_ descriptor: CInt) -> CInt { close(descriptor) }
