internal import Glibc
package import NIOCore

/// An address of a machine, IPv4 as well as IPv6. IPv4 is kept as the IPv6 address that it is mapped to
/// (`::ffff:10.0.0.1`), so that both ways of writing it are equal.
package struct IPAddress: Hashable, Sendable, CustomStringConvertible {
    private let high: UInt64
    private let low: UInt64

    private init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    private init(v4 bits: UInt32) { self.init(high: 0, low: 0xFFFF_0000_0000 | UInt64(bits)) }

    /// - Parameter v6: 16 bytes.
    private init(v6 bytes: some Collection<UInt8>) {
        self.init(
            high: bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) },
            low: bytes.dropFirst(8).prefix(8).reduce(0) { $0 << 8 | UInt64($1) })
    }

    /// - Returns: nil where the text is no numeric address, or has a zone.
    package init?(_ text: some StringProtocol) {
        var bytes = [UInt8](repeating: 0, count: 16)
        let text = String(text)
        if inet_pton(AF_INET, text, &bytes) == 1 {
            self.init(v4: bytes.prefix(4).reduce(0) { $0 << 8 | UInt32($1) })
        } else if inet_pton(AF_INET6, text, &bytes) == 1 {
            self.init(v6: bytes)
        } else {
            return nil
        }
    }

    /// - Returns: nil for a Unix socket.
    package init?(_ address: SocketAddress) {
        let bytes = address.withSockAddr { Array(UnsafeRawBufferPointer(start: $0, count: $1)) }
        switch address {
        // Family and port come first, of IPv6 also the flow.
        case .v4: self.init(v4: bytes.dropFirst(4).prefix(4).reduce(0) { $0 << 8 | UInt32($1) })
        case .v6: self.init(v6: bytes.dropFirst(8))
        case .unixDomainSocket: return nil
        }
    }

    /// In the one form of its family (RFC 5952 for IPv6).
    package var description: String {
        if isV4 { return (0..<4).reversed().map { String(low >> ($0 * 8) & 0xFF) }.joined(separator: ".") }
        var bytes = [high.bigEndian, low.bigEndian]
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        inet_ntop(AF_INET6, &bytes, &text, socklen_t(text.count))
        return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    package var isV4: Bool { high == 0 && low >> 32 == 0xFFFF }

    package var isLoopback: Bool { isV4 ? low >> 24 & 0xFF == 127 : high == 0 && low == 1 }

    /// Whether it stands for every address of its family.
    package var isUnspecified: Bool { high == 0 && (low == 0 || isV4 && low & 0xFFFF_FFFF == 0) }

    /// Whom limits by address count: a machine has one IPv4 address, but of IPv6 a whole /64 to choose from.
    package var holder: IPAddress { isV4 ? self : IPAddress(high: high, low: 0) }

    /// With all but the first bits 0.
    ///
    /// - Parameter length: bits of the IPv6 address, 0 to 128.
    func prefix(_ length: Int) -> IPAddress {
        IPAddress(
            high: high & IPAddress.mask(min(64, length)), low: low & IPAddress.mask(max(0, length - 64)))
    }

    private static func mask(_ length: Int) -> UInt64 { length == 0 ? 0 : .max << UInt64(64 - length) }
}
