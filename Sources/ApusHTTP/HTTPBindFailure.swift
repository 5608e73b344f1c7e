internal import ApusModel
internal import Foundation
internal import NIOCore

/// What it means that the HTTP door could not listen, and what to do.
enum HTTPBindFailure {
    static func explain(_ error: any Error, _ place: String) -> ApusError {
        let what = "cannot serve HTTP on \(place)"
        switch (error as? IOError)?.errnoCode {
        case EADDRINUSE:
            return ApusError(
                .unavailable, "\(what): it is in use by another process",
                hint: "`ss -ltnp` shows which; or take another port with --http.")
        case EACCES:
            return ApusError(
                .unavailable, "\(what): this user may not",
                hint: "Ports below 1024 belong to root, or to who has CAP_NET_BIND_SERVICE.")
        case EADDRNOTAVAIL:
            return ApusError(
                .unavailable, "\(what): it is no address of this machine",
                hint: "`ip address` lists them; an empty host stands for all.")
        default:
            return ApusError(.unavailable, "\(what): \((error as? IOError)?.description ?? "\(error)")")
        }
    }
}
