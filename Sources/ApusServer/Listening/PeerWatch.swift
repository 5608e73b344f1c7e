internal import NIOCore

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#elseif canImport(Darwin)
    internal import Darwin
#endif

/// How the kernel finds a peer whose machine is gone.
enum PeerWatch {
    /// Keep-alive probes find a peer that is gone while nothing is on its way to it: the first after half of the
    /// time, then ten more until it is up.
    static func configure(_ channel: any Channel, timeoutSeconds: Int) {
        guard let options = channel.syncOptions else { return }
        let probes = 10
        // Where the system refuses an option, its own default stays.
        for (name, value) in [
            (TCP_KEEPIDLE, timeoutSeconds / 2), (TCP_KEEPINTVL, timeoutSeconds / 2 / probes), (TCP_KEEPCNT, probes),
        ] {
            try? options.setOption(.tcpOption(NIOBSDSocket.Option(rawValue: name)), value: max(1, value))
        }
    }
}
