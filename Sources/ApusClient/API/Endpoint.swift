@_exported public import ApusModel

/// Where a broker listens, and who asks.
///
/// `apus://[user[:password]@]host[:port]`, `apuss://…` for TLS, `apus+unix:///path`, or without a scheme `host`, `host:port`, `[::1]:2787`,
/// `[fe80::1%eth0]:2787`. In user and password, `%40` and the like stand for bytes that would otherwise separate.
public struct Endpoint: Sendable, Hashable, CustomStringConvertible {
    /// The port of the native protocol where none is named.
    public static let defaultPort = DefaultPort.native
    /// The same with TLS.
    public static let defaultTLSPort = DefaultPort.nativeTLS
    /// `apus://127.0.0.1:2787`.
    public static let local = Endpoint(place: .tcp(host: "127.0.0.1", port: Endpoint.defaultPort))

    package enum Place: Sendable, Hashable {
        case tcp(host: String, port: Int)
        case unix(path: String)
    }

    package let place: Place
    /// Whether the connection is encrypted, and the broker has to show a certificate for the host.
    public let isTLS: Bool
    public let user: String?
    package let password: Secret?

    package init(place: Place, isTLS: Bool = false, user: String? = nil, password: Secret? = nil) {
        self.place = place
        self.isTLS = isTLS
        self.user = user
        self.password = password
    }

    /// The host as it was written, without brackets; nil for a unix socket.
    public var host: String? {
        if case .tcp(let host, _) = place { host } else { nil }
    }

    /// The port; nil for a unix socket.
    public var port: Int? {
        if case .tcp(_, let port) = place { port } else { nil }
    }

    /// Without the password.
    public var description: String {
        let who = user.map { "\(Endpoint.percentEncoded($0))@" } ?? ""
        switch place {
        case .tcp(let host, let port):
            return "\(isTLS ? "apuss" : "apus")://\(who)\(host.contains(":") ? "[\(host)]" : host):\(port)"
        case .unix(let path): return "apus+unix://\(who)\(path)"
        }
    }

    /// - Throws: `usage`, saying what is wrong with the text.
    public init(_ text: String) throws(ApusError) {
        guard !text.isEmpty else { throw Endpoint.fault("the server's address is empty") }
        // As a broker's listener is written.
        if text.hasPrefix("unix:/") {
            self = try Endpoint("apus+unix:///" + text.dropFirst("unix:".count).drop { $0 == "/" })
            return
        }
        guard let schemeEnd = Endpoint.range(of: "://", in: text) else {
            try self.init(authority: text[...], isTLS: false)
            // The commands blank one in the list of processes where a scheme says that it is one.
            guard password == nil else {
                throw Endpoint.fault(
                    "a password stands in an address without a scheme",
                    hint: "Write apus://USER:PASSWORD@HOST, or better: --user, and a file of the password.")
            }
            return
        }
        let scheme = text[..<schemeEnd.lowerBound].lowercased()
        let rest = text[schemeEnd.upperBound...]
        switch scheme {
        case "apus", "apuss":
            let authority = rest.prefix { $0 != "/" }
            guard rest.dropFirst(authority.count).drop(while: { $0 == "/" }).isEmpty else {
                throw Endpoint.fault("nothing may follow host and port in an \(scheme):// address")
            }
            try self.init(authority: authority, isTLS: scheme == "apuss")
        case "apus+unix":
            let authority = rest.prefix { $0 != "/" }
            let (user, password, host) = try Endpoint.credentials(authority)
            guard host.isEmpty else {
                throw Endpoint.fault("a unix socket has no host", hint: "Write apus+unix:///path, with three slashes.")
            }
            let path = try Endpoint.percentDecoded(rest.dropFirst(authority.count))
            guard path.utf8.count > 1 else { throw Endpoint.fault("the unix socket's path is missing") }
            // sockaddr_un of Linux: 108 bytes with the closing NUL.
            guard path.utf8.count < 108 else {
                throw Endpoint.fault("the unix socket's path has \(path.utf8.count) bytes, the system allows 107")
            }
            self.init(place: .unix(path: path), user: user, password: password)
        default:
            throw Endpoint.fault(
                "the scheme before :// is unknown", hint: "It is apus://, apuss:// or apus+unix://.")
        }
    }

    private init(authority: Substring, isTLS: Bool) throws(ApusError) {
        let (user, password, hostPort) = try Endpoint.credentials(authority)
        var host = hostPort
        var portText: Substring?
        if hostPort.first == "[" {
            guard let close = hostPort.firstIndex(of: "]") else {
                throw Endpoint.fault("the bracket of the IPv6 address is not closed")
            }
            host = hostPort[hostPort.index(after: hostPort.startIndex)..<close]
            let after = hostPort[hostPort.index(after: close)...]
            guard after.isEmpty || after.first == ":" else {
                throw Endpoint.fault("something else than a port follows the IPv6 address")
            }
            portText = after.isEmpty ? nil : after.dropFirst()
        } else if let colon = hostPort.firstIndex(of: ":"), hostPort.lastIndex(of: ":") == colon {
            host = hostPort[..<colon]
            portText = hostPort[hostPort.index(after: colon)...]
        }
        // Two colons and more without brackets are an IPv6 address without a port.
        guard !host.isEmpty else { throw Endpoint.fault("the host is missing") }
        guard !host.contains(where: { $0.isWhitespace || $0 == "/" }) else {
            throw Endpoint.fault("the host contains a space or a slash")
        }
        var port = isTLS ? Endpoint.defaultTLSPort : Endpoint.defaultPort
        if let portText {
            // What stands there is not shown: where "@host" was forgotten, it is a password.
            guard portText.allSatisfy({ $0.isASCII && $0.isNumber }), let number = Int(portText),
                (1...65_535).contains(number)
            else { throw Endpoint.fault("the port is not a number from 1 to 65535") }
            port = number
        }
        // RFC 6874 writes the percent sign before a zone as %25.
        let name = Endpoint.range(of: "%25", in: String(host)).map { range in
            let text = String(host)
            return text[..<range.lowerBound] + "%" + text[range.upperBound...]
        }
        self.init(
            place: .tcp(host: name.map(String.init) ?? String(host), port: port), isTLS: isTLS, user: user,
            password: password)
    }

    /// What stands before the last `@`, and what after.
    private static func credentials(
        _ authority: Substring
    ) throws(ApusError) -> (user: String?, password: Secret?, rest: Substring) {
        guard let at = authority.lastIndex(of: "@") else { return (nil, nil, authority) }
        let parts = authority[..<at].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        let user = try percentDecoded(parts[0])
        guard !user.isEmpty else { throw fault("the user before '@' is missing") }
        let password = parts.count > 1 ? Secret(try percentDecoded(parts[1])) : nil
        return (user, password, authority[authority.index(after: at)...])
    }

    private static func range(of needle: String, in text: String) -> Range<String.Index>? {
        var start = text.startIndex
        while start < text.endIndex {
            if text[start...].hasPrefix(needle) {
                return start..<text.index(start, offsetBy: needle.count)
            }
            start = text.index(after: start)
        }
        return nil
    }

    private static func percentDecoded(_ text: Substring) throws(ApusError) -> String {
        guard text.utf8.contains(UInt8(ascii: "%")) else { return String(text) }
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let digits = String(rest.prefix(2)), digits.utf8.count == 2, let value = UInt8(digits, radix: 16)
            else { throw fault("a '%' is not followed by two hexadecimal digits") }
            bytes.append(value)
            rest = rest.dropFirst(2)
        }
        guard let decoded = String(validating: bytes, as: UTF8.self), !bytes.contains(0) else {
            throw fault("an escaped text is not UTF-8")
        }
        return decoded
    }

    private static func percentEncoded(_ text: String) -> String {
        var out = ""
        for byte in text.utf8 {
            let scalar = Unicode.Scalar(byte)
            if byte < 0x80, scalar.properties.isAlphabetic || "0123456789-._~".unicodeScalars.contains(scalar) {
                out.unicodeScalars.append(scalar)
            } else {
                out += "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
            }
        }
        return out
    }

    private static func fault(_ message: String, hint: String? = nil) -> ApusError {
        ApusError(
            .usage, message, hint: hint ?? "An address looks like apus://host:2787, host, host:port or [::1]:2787.")
    }
}
