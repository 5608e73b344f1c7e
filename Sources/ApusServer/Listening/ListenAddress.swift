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
/// address that it resolves to; `unix:/path` for a Unix socket. Port 0 takes a free one. `apuss://` before host and port
/// asks for TLS.
package struct ListenAddress: Hashable, Sendable, CustomStringConvertible {
    package enum Place: Hashable, Sendable {
        /// - Parameter port: nil for the default of the protocol spoken.
        case tcp(host: String, port: Int?)
        case unix(path: String)
    }

    package let place: Place
    /// Whether TLS is spoken there.
    package var isTLS = false

    package static let defaultPort = 2787
    package static let defaultTLSPort = 2789
    package static let loopback = [
        ListenAddress(host: "127.0.0.1", port: defaultPort), ListenAddress(host: "::1", port: defaultPort),
    ]
    /// `sockaddr_un` of Linux has 108 bytes, with the closing NUL.
    private static let pathBytesMax = 107

    package init(host: String, port: Int?) { place = .tcp(host: host, port: port) }

    /// - Throws: `usage`, saying how an address is written.
    package init(_ text: String) throws(ApusError) {
        func problem(_ what: String) -> ApusError {
            ApusError(
                .usage, "cannot listen on \"\(text)\": \(what)",
                hint: "Write HOST:PORT, as in 127.0.0.1:2787, [::1]:2787, [fe80::1%eth0]:2787 or :2787 for all "
                    + "interfaces; apuss://HOST:PORT for TLS; or unix:/path.")
        }
        if let path = ListenAddress.unixPath(text) {
            guard path.hasPrefix("/"), path.utf8.count > 1 else { throw problem("the socket's path is not absolute") }
            guard path.utf8.count <= ListenAddress.pathBytesMax, !path.utf8.contains(0) else {
                throw problem(
                    "the socket's path has \(path.utf8.count) bytes, the system allows \(ListenAddress.pathBytesMax)")
            }
            place = .unix(path: path)
            return
        }
        var rest = text[...]
        for (scheme, isTLS) in [("apus://", false), ("apuss://", true)] where rest.hasPrefix(scheme) {
            rest = rest.dropFirst(scheme.count)
            self.isTLS = isTLS
        }
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
        guard !rest.isEmpty else {
            place = .tcp(host: String(host), port: nil)
            return
        }
        guard rest.first == ":", let port = Int(rest.dropFirst()), (0...65_535).contains(port) else {
            throw problem("the port is not a number from 0 to 65535")
        }
        place = .tcp(host: String(host), port: port)
    }

    private static func unixPath(_ text: String) -> String? {
        for scheme in ["apus+unix://", "unix://", "unix:"] where text.hasPrefix(scheme) {
            return String(text.dropFirst(scheme.count))
        }
        return nil
    }

    package var isEveryInterface: Bool {
        guard case .tcp(let host, _) = place else { return false }
        return host.isEmpty
    }

    /// Of TCP.
    private func port(_ given: Int?) -> Int {
        given ?? (isTLS ? ListenAddress.defaultTLSPort : ListenAddress.defaultPort)
    }

    package var description: String {
        switch place {
        case .tcp(let host, let given):
            "\(host.contains(":") ? "[\(host)]" : host.isEmpty ? "*" : host):\(port(given))"
        case .unix(let path): "unix:\(path)"
        }
    }

    /// Every address that the host stands for.
    ///
    /// - Throws: `unavailable`, with the resolver's reason.
    package func resolve() throws(ApusError) -> [SocketAddress] {
        let host: String
        let port: Int
        switch place {
        case .unix(let path):
            guard let address = try? SocketAddress(unixDomainSocketPath: path) else {
                throw ApusError(.usage, "\(self) is no path for a Unix socket")
            }
            return [address]
        case .tcp(let name, let given):
            host = name
            port = self.port(given)
        }
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
