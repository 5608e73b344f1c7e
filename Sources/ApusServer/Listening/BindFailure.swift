internal import ApusModel
internal import NIOCore

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#elseif canImport(Darwin)
    internal import Darwin
#endif

/// What it means that an address could not be bound, and what to do.
enum BindFailure {
    static func explain(_ error: any Error, _ address: SocketAddress) -> ApusError {
        let place = "\(address.ipAddress ?? "?") port \(address.port ?? 0)"
        guard let error = error as? IOError else {
            return ApusError(.unavailable, "cannot listen on \(place): \(error)")
        }
        switch error.errnoCode {
        case EADDRINUSE:
            return ApusError(
                .unavailable, "\(place) is in use by another process",
                hint: "`ss -ltnp 'sport = :\(address.port ?? 0)'` shows which; or listen on another port with --listen."
            )
        case EACCES:
            return ApusError(
                .unavailable, "\(place) may not be bound by this user",
                hint: "Ports below 1024 belong to root, or to who has CAP_NET_BIND_SERVICE.")
        case EADDRNOTAVAIL:
            return ApusError(
                .unavailable, "\(place) is no address of this machine",
                hint: "`ip address` lists them; an empty host stands for all.")
        default:
            return ApusError(.unavailable, "cannot listen on \(place): \(error.description)")
        }
    }
}
