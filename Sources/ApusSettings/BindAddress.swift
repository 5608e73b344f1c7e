package import ApusModel

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#elseif canImport(Darwin)
    internal import Darwin
#endif

/// Where to listen, as it is written: `HOST:PORT`, `[::1]:2787`, `:2787` for all interfaces, `unix:/run/apus.sock`.
package enum BindAddress: Hashable, Sendable, CustomStringConvertible {
    /// An empty host is all interfaces.
    case tcp(host: String, port: Int)
    case unix(path: String)

    package static let hint =
        "Write HOST:PORT, as in 127.0.0.1:2787, \"[::1]:2787\" or :2787 for all interfaces, or unix:/path/of/socket."

    /// What `sun_path` holds.
    private static let unixPathBytesMax = 107

    /// - Throws: `usage`, saying how an address is written.
    package init(_ text: String, defaultPort: Int) throws(ApusError) {
        func problem(_ what: String) -> ApusError {
            ApusError(.usage, "cannot listen on \"\(shown(text))\": \(what)", hint: BindAddress.hint)
        }
        guard !text.isEmpty, text.unicodeScalars.allSatisfy({ $0.value > 0x20 && $0.value != 0x7F }) else {
            throw problem(text.isEmpty ? "it is empty" : "there is a space or a control character in it")
        }
        if text.hasPrefix("unix:") {
            let path = text.dropFirst("unix:".count)
            guard !path.isEmpty else { throw problem("the path is missing") }
            guard path.utf8.count <= BindAddress.unixPathBytesMax else {
                throw problem("the path of a Unix socket has at most \(BindAddress.unixPathBytesMax) bytes")
            }
            self = .unix(path: String(path))
            return
        }
        var rest = text[...]
        if rest.hasPrefix("apus://") { rest = rest.dropFirst("apus://".count) }
        let host: Substring
        if rest.hasPrefix("[") {
            guard let end = rest.firstIndex(of: "]") else { throw problem("'[' without ']'") }
            host = rest.dropFirst()[..<end]
            rest = rest[rest.index(after: end)...]
            guard AddressBytes(String(host))?.isIPv6 == true else { throw problem("no IPv6 address in the brackets") }
        } else {
            let colon = rest.firstIndex(of: ":") ?? rest.endIndex
            host = rest[..<colon]
            rest = rest[colon...]
            guard !rest.dropFirst().contains(":") else { throw problem("an IPv6 address stands in brackets") }
        }
        guard !rest.isEmpty else {
            self = .tcp(host: String(host), port: defaultPort)
            return
        }
        guard rest.first == ":", let port = LimitText.number(rest.dropFirst()), port <= 65_535 else {
            throw problem("the port is not a number from 0 to 65535")
        }
        self = .tcp(host: String(host), port: port)
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
        if let bytes = AddressBytes(host) { return bytes.isLoopback ? .thisMachine : .otherMachines }
        let name = host.lowercased()
        return name == "localhost" || name.hasSuffix(".localhost") ? .thisMachine : .unknown
    }

    /// Whether both cannot be listened on at once.
    func collides(with other: BindAddress) -> Bool {
        switch (self, other) {
        case (.unix(let a), .unix(let b)): return a == b
        case (.tcp(let a, let portA), .tcp(let b, let portB)):
            // Each listener on port 0 gets a port of its own.
            guard portA == portB, portA != 0 else { return false }
            if a.isEmpty || b.isEmpty { return true }
            guard let bytesA = AddressBytes(a), let bytesB = AddressBytes(b) else {
                return a.lowercased() == b.lowercased()
            }
            guard bytesA.isIPv6 == bytesB.isIPv6 else { return false }
            return bytesA == bytesB || bytesA.isUnspecified || bytesB.isUnspecified
        default: return false
        }
    }
}

/// A numeric address: 4 or 16 bytes in network order.
struct AddressBytes: Hashable {
    let bytes: [UInt8]
    /// Of a link-local address: `eth0`.
    let zone: String

    /// - Returns: nil for what is no numeric address.
    init?(_ text: String) {
        let parts = text.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false)
        zone = parts.count > 1 ? String(parts[1]) : ""
        guard let address = parts.first.map(String.init), parts.count == 1 || !zone.isEmpty else { return nil }
        var v4 = in_addr()
        var v6 = in6_addr()
        if parts.count == 1, inet_pton(AF_INET, address, &v4) == 1 {
            bytes = withUnsafeBytes(of: v4) { Array($0) }
        } else if inet_pton(AF_INET6, address, &v6) == 1 {
            bytes = withUnsafeBytes(of: v6) { Array($0) }
        } else {
            return nil
        }
    }

    var isIPv6: Bool { bytes.count == 16 }
    var isUnspecified: Bool { bytes.allSatisfy { $0 == 0 } }

    var isLoopback: Bool {
        guard isIPv6 else { return bytes[0] == 127 }
        return bytes.dropLast().allSatisfy { $0 == 0 } && bytes[15] == 1
    }
}
