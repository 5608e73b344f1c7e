package import ApusModel
internal import Glibc
package import NIOCore

extension BindAddress {
    /// Every address that the host stands for.
    ///
    /// - Throws: `unavailable`, with the resolver's reason.
    package func resolve() throws(ApusError) -> [SocketAddress] {
        let host: String
        let port: Int
        switch self {
        case .unix(let path):
            guard let address = try? SocketAddress(unixDomainSocketPath: path) else {
                throw ApusError(.usage, "\(self) is no path for a Unix socket")
            }
            return [address]
        case .tcp(let name, let number):
            host = name
            port = number
        }
        var hints = addrinfo()
        hints.ai_flags = AI_PASSIVE
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host.isEmpty ? nil : host, String(port), &hints, &list)
        guard code == 0 else {
            throw ApusError(
                .unavailable, "cannot listen on \(self): \(String(cString: gai_strerror(code)))",
                hint: "Check the host name, or name an address of this machine.")
        }
        defer { freeaddrinfo(list) }
        var addresses: [SocketAddress] = []
        var next = list
        while let info = next?.pointee {
            next = info.ai_next
            if let address = SocketAddress(info, host: host), !addresses.contains(address) { addresses.append(address) }
        }
        return addresses
    }
}

extension SocketAddress {
    fileprivate init?(_ info: addrinfo, host: String) {
        guard let raw = UnsafeRawPointer(info.ai_addr) else { return nil }
        switch info.ai_family {
        case AF_INET: self.init(raw.loadUnaligned(as: sockaddr_in.self), host: host)
        case AF_INET6: self.init(raw.loadUnaligned(as: sockaddr_in6.self), host: host)
        default: return nil
        }
    }

    /// Whether only this machine reaches it: a Unix socket too.
    package var isLoopback: Bool { IPAddress(self)?.isLoopback ?? true }

    /// Ready to be copied into a command.
    package func apusURL(isTLS: Bool) -> String {
        if case .unixDomainSocket = self { return "apus+unix://\(pathname ?? "")" }
        let host = numericHost ?? ipAddress ?? ""
        return "\(isTLS ? "apuss" : "apus")://\(host.contains(":") ? "[\(host)]" : host):\(port ?? 0)"
    }

    /// With its zone, where it has one: `fe80::1%eth0`.
    package var numericHost: String? {
        var name = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        let code = withSockAddr { address, size in
            getnameinfo(address, socklen_t(size), &name, socklen_t(name.count), nil, 0, NI_NUMERICHOST)
        }
        guard code == 0 else { return nil }
        return String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}

/// An address that is listened on.
package struct BoundAddress: Sendable {
    /// With the real port.
    package let address: SocketAddress
    package let isTLS: Bool

    /// As an address of the native protocol, ready to be copied into a command.
    package var url: String { address.apusURL(isTLS: isTLS) }
}
