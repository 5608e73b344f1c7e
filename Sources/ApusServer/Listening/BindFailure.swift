internal import ApusModel
internal import Glibc
internal import NIOCore

/// What it means that an address could not be bound, and what to do.
enum BindFailure {
    /// For an IPv6 address of every machine, `::` or `::1`: IPv6 is left out of the kernel, or switched off.
    static func isLackOfIPv6(_ error: any Error) -> Bool {
        guard let code = (error as? IOError)?.errnoCode else { return false }
        return code == EAFNOSUPPORT || code == EADDRNOTAVAIL
    }

    static func explain(_ error: any Error, _ address: SocketAddress) -> ApusError {
        let place = "\(address.numericHost ?? "?") port \(address.port ?? 0)"
        return explain(error, place, port: address.port ?? 0)
    }

    /// - Parameter port: nil for a Unix socket.
    static func explain(_ error: any Error, _ place: String, port: Int?) -> ApusError {
        guard let error = error as? IOError else {
            return ApusError(.unavailable, "cannot listen on \(place): \(error)")
        }
        switch (error.errnoCode, port) {
        case (EADDRINUSE, let port?):
            return ApusError(
                .unavailable, "\(place) is in use by another process",
                hint: "`ss -ltnp 'sport = :\(port)'` shows which; or listen on another port with --listen.")
        case (EACCES, .some):
            return ApusError(
                .unavailable, "\(place) may not be bound by this user",
                hint: "Ports below 1024 belong to root, or to who has CAP_NET_BIND_SERVICE.")
        case (EADDRNOTAVAIL, .some):
            return ApusError(
                .unavailable, "\(place) is no address of this machine",
                hint: "`ip address` lists them; an empty host stands for all.")
        case (EADDRINUSE, nil):
            return ApusError(.unavailable, "\(place) is in use by another process")
        case (EACCES, nil), (EPERM, nil), (EROFS, nil):
            return ApusError(
                .unavailable, "\(place) may not be made by this user",
                hint: "The broker's user needs to write into the directory.")
        case (ENOENT, nil), (ENOTDIR, nil):
            return ApusError(.unavailable, "cannot listen on \(place): there is no such directory")
        default:
            return ApusError(
                .unavailable, "cannot listen on \(place): \(String(cString: strerror(error.errnoCode)))")
        }
    }
}
