package import ApusModel
package import NIOCore

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#elseif canImport(Darwin)
    internal import Darwin
#endif

/// Where to listen: `HOST:PORT`, `[::1]:2787`, `[fe80::1%eth0]:2787`, `:2787` for all interfaces, a host name for every
/// address that it resolves to. Port 0 takes a free one.
package struct ListenAddress: Hashable, Sendable, CustomStringConvertible {
    package let host: String
    package let port: Int

    package static let defaultPort = 2787
    package static let loopback = [
        ListenAddress(host: "127.0.0.1", port: defaultPort), ListenAddress(host: "::1", port: defaultPort),
    ]

    package init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// - Throws: `usage`, saying how an address is written.
    package init(_ text: String) throws(ApusError) {
        func problem(_ what: String) -> ApusError {
            ApusError(
                .usage, "cannot listen on \"\(text)\": \(what)",
                hint:
                    "Write HOST:PORT, as in 127.0.0.1:2787, [::1]:2787, [fe80::1%eth0]:2787 or :2787 for all interfaces."
            )
        }
        var rest = text[...]
        if rest.hasPrefix("apus://") { rest = rest.dropFirst("apus://".count) }
        let host: Substring
        if rest.hasPrefix("[") {
            guard let end = rest.firstIndex(of: "]") else { throw problem("'[' without ']'") }
            host = rest[rest.index(after: rest.startIndex)..<end]
            rest = rest[rest.index(after: end)...]
        } else {
            let colon = rest.firstIndex(of: ":") ?? rest.endIndex
            host = rest[..<colon]
            rest = rest[colon...]
            guard !rest.dropFirst().contains(":") else { throw problem("an IPv6 address stands in brackets") }
        }
        self.host = String(host)
        if rest.isEmpty {
            port = ListenAddress.defaultPort
        } else {
            guard rest.first == ":", let port = Int(rest.dropFirst()), (0...65_535).contains(port) else {
                throw problem("the port is not a number from 0 to 65535")
            }
            self.port = port
        }
    }

    package var description: String {
        host.contains(":") ? "[\(host)]:\(port)" : "\(host.isEmpty ? "*" : host):\(port)"
    }

    /// Every address that the host stands for.
    ///
    /// - Throws: `unavailable`, with the resolver's reason.
    package func resolve() throws(ApusError) -> [SocketAddress] {
        var hints = addrinfo()
        hints.ai_flags = AI_PASSIVE
        hints.ai_family = AF_UNSPEC
        #if canImport(Darwin)
            hints.ai_socktype = SOCK_STREAM
        #else
            hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        #endif
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

    /// Whether only this machine reaches it.
    package var isLoopback: Bool {
        switch self {
        case .v4: ipAddress?.hasPrefix("127.") ?? false
        case .v6: ipAddress == "::1"
        case .unixDomainSocket: true
        }
    }

    /// As an address of the native protocol, ready to be copied into a command.
    package var apusURL: String {
        let host = numericHost ?? ipAddress ?? ""
        return "apus://\(host.contains(":") ? "[\(host)]" : host):\(port ?? 0)"
    }

    /// With its zone, where it has one: `fe80::1%eth0`.
    private var numericHost: String? {
        var name = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        let code = withSockAddr { address, size in
            getnameinfo(address, socklen_t(size), &name, socklen_t(name.count), nil, 0, NI_NUMERICHOST)
        }
        guard code == 0 else { return nil }
        return String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}
