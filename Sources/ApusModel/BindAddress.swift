/// Where to listen, as it is written: `HOST:PORT`, `[::1]:2787`, `[fe80::1%eth0]:2787`, `:2787` for all interfaces, a
/// name for every address that it resolves to, `unix:/run/apus.sock`. Port 0 takes a free one.
package enum BindAddress: Hashable, Sendable, CustomStringConvertible {
    /// An empty host is all interfaces.
    case tcp(host: String, port: Int)
    case unix(path: String)

    /// What `sun_path` of Linux holds, without the closing NUL.
    private static let unixPathBytesMax = 107

    /// - Parameters:
    ///   - defaultPort: where none is written.
    ///   - scheme: what may stand before it, as in the URL that is copied from somewhere.
    /// - Throws: `usage`, saying how an address is written.
    package init(_ text: String, defaultPort: Int, scheme: String = "apus") throws(ApusError) {
        func problem(_ what: String) -> ApusError {
            ApusError(
                .usage, "cannot listen on \"\(text.shown)\": \(what)",
                hint:
                    "Write HOST:PORT, as in 127.0.0.1:\(defaultPort), \"[::1]:\(defaultPort)\" or :\(defaultPort) for "
                    + "all interfaces\(scheme == "apus" ? ", or unix:/path/of/socket" : "").")
        }
        guard !text.isEmpty, text.unicodeScalars.allSatisfy({ $0.value > 0x20 && $0.value != 0x7F }) else {
            throw problem(text.isEmpty ? "it is empty" : "there is a space or a control character in it")
        }
        if let path = BindAddress.unixPath(text) {
            guard path.hasPrefix("/"), path.utf8.count > 1 else { throw problem("the socket's path is not absolute") }
            guard path.utf8.count <= BindAddress.unixPathBytesMax else {
                throw problem("the path of a Unix socket has at most \(BindAddress.unixPathBytesMax) bytes")
            }
            self = .unix(path: String(path))
            return
        }
        var rest = text[...]
        if rest.hasPrefix("\(scheme)://") { rest = rest.dropFirst(scheme.count + 3) }
        guard !rest.contains("://") else {
            throw problem(
                rest.hasPrefix("apuss://")
                    ? "a listener speaks TLS where the configuration file gives it a certificate (listeners, tls)"
                    : "what stands before :// is not understood here")
        }
        let host: Substring
        if rest.hasPrefix("[") {
            guard let end = rest.firstIndex(of: "]") else { throw problem("'[' without ']'") }
            host = rest.dropFirst()[..<end]
            rest = rest[rest.index(after: end)...]
            guard host.contains(":"), BindAddress.numeric(host) != nil else {
                throw problem("no IPv6 address in the brackets")
            }
        } else {
            let colon = rest.firstIndex(of: ":") ?? rest.endIndex
            host = rest[..<colon]
            rest = rest[colon...]
            guard !rest.dropFirst().contains(":") else { throw problem("an IPv6 address stands in brackets") }
            // No name has a number behind its last dot; to look it up would only find that out later (RFC 3696, 2).
            let isNumber = host.split(separator: ".").last?.utf8.allSatisfy { (0x30...0x39).contains($0) } ?? false
            guard !isNumber || BindAddress.numeric(host) != nil else { throw problem("\(host) is no IPv4 address") }
        }
        let name = host == "*" ? "" : String(host)
        guard !rest.isEmpty else {
            self = .tcp(host: name, port: defaultPort)
            return
        }
        guard rest.first == ":", let port = rest.dropFirst().decimal, port <= 65_535 else {
            throw problem("the port is not a number from 0 to 65535")
        }
        self = .tcp(host: name, port: port)
    }

    private static func unixPath(_ text: String) -> Substring? {
        for scheme in ["apus+unix://", "unix://", "unix:"] where text.hasPrefix(scheme) {
            return text.dropFirst(scheme.count)
        }
        return nil
    }

    /// - Returns: nil for a name.
    private static func numeric(_ host: some StringProtocol) -> IPAddress? {
        let parts = host.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false)
        if parts.count == 1 { return IPAddress(host) }
        // Only addresses of IPv6 have a zone.
        return parts[1].isEmpty || !parts[0].contains(":") ? nil : IPAddress(parts[0])
    }

    /// In the form in which it is read.
    package var description: String {
        switch self {
        case .unix(let path): "unix:\(path)"
        case .tcp(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        }
    }
}

extension BindAddress {
    package enum Reach: Hashable, Sendable {
        case thisMachine, otherMachines
        /// A name: it is known when it has been looked up.
        case unknown
    }

    /// Who can reach it, as far as the text tells: nothing is looked up.
    package var reach: Reach {
        guard case .tcp(let host, _) = self else { return .thisMachine }
        if host.isEmpty { return .otherMachines }
        if let address = BindAddress.numeric(host) { return address.isLoopback ? .thisMachine : .otherMachines }
        let name = host.lowercased()
        return name == "localhost" || name.hasSuffix(".localhost") ? .thisMachine : .unknown
    }

    package var isEveryInterface: Bool {
        guard case .tcp(let host, _) = self else { return false }
        return host.isEmpty
    }

    /// Whether both cannot be listened on at once.
    package func collides(with other: BindAddress) -> Bool {
        switch (self, other) {
        case (.unix(let a), .unix(let b)): return a == b
        case (.tcp(let a, let portA), .tcp(let b, let portB)):
            // Each listener on port 0 gets a port of its own.
            guard portA == portB, portA != 0 else { return false }
            if a.isEmpty || b.isEmpty { return true }
            guard let first = BindAddress.numeric(a), let second = BindAddress.numeric(b) else {
                return a.lowercased() == b.lowercased()
            }
            guard first.isV4 == second.isV4 else { return false }
            return first == second && a.zone == b.zone || first.isUnspecified || second.isUnspecified
        default: return false
        }
    }
}

/// The ports that are used where none is named.
package enum DefaultPort {
    package static let native = 2_787
    package static let http = 2_788
    package static let nativeTLS = 2_789
}

extension String {
    /// Of a link-local address: `%eth0`.
    fileprivate var zone: Substring { self[(firstIndex(of: "%") ?? endIndex)...] }
}
