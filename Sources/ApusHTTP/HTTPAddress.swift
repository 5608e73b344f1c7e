package import ApusModel
internal import NIOCore

/// Where the HTTP door listens: `HOST:PORT`, `[::1]:2788`, `:2788` for all interfaces. Port 0 takes a free one.
package struct HTTPAddress: Hashable, Sendable, CustomStringConvertible {
    package static let defaultPort = 2788

    package let host: String
    package let port: Int

    /// - Throws: `usage`, saying how an address is written.
    package init(_ text: String) throws(ApusError) {
        func problem(_ what: String) -> ApusError {
            ApusError(
                .usage, "cannot serve HTTP on \"\(text)\": \(what)",
                hint: "Write HOST:PORT, as in 127.0.0.1:2788, [::1]:2788 or :2788 for all interfaces.")
        }
        var rest = text[...]
        if rest.hasPrefix("http://") { rest = rest.dropFirst("http://".count) }
        if rest.hasPrefix("[") {
            guard let end = rest.firstIndex(of: "]") else { throw problem("'[' without ']'") }
            host = String(rest[rest.index(after: rest.startIndex)..<end])
            rest = rest[rest.index(after: end)...]
        } else {
            let colon = rest.firstIndex(of: ":") ?? rest.endIndex
            host = String(rest[..<colon])
            rest = rest[colon...]
        }
        guard !rest.isEmpty else {
            port = HTTPAddress.defaultPort
            return
        }
        guard rest.first == ":", !rest.dropFirst().contains(":") else {
            throw problem("an IPv6 address stands in brackets")
        }
        guard let port = UInt16(rest.dropFirst()) else { throw problem("the port is not a number from 0 to 65535") }
        self.port = Int(port)
    }

    package var description: String {
        host.contains(":") ? "[\(host)]:\(port)" : "\(host.isEmpty ? "*" : host):\(port)"
    }

    /// Whether only this machine reaches it, as far as the text tells: a name but `localhost` may be anything.
    package var isLoopback: Bool { host == "localhost" || host == "::1" || host.hasPrefix("127.") }

    /// What to bind, in this order, where one after the other cannot be: all interfaces are one socket for both
    /// families, or where the system has no IPv6, one for IPv4.
    var hosts: [String] { host.isEmpty || host == "*" ? ["::", "0.0.0.0"] : [host] }
}
