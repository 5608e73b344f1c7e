package import ApusModel
package import NIOCore

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#elseif canImport(Darwin)
    internal import Darwin
#endif

/// An address of a machine, IPv4 as well as IPv6. IPv4 is kept as the IPv6 address that it is mapped to
/// (`::ffff:10.0.0.1`), so that both ways of writing it are equal.
package struct IPAddress: Hashable, Sendable {
    let high: UInt64
    let low: UInt64

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
    package init?(_ text: String) {
        var bytes = [UInt8](repeating: 0, count: 16)
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

    var isV4: Bool { high == 0 && low >> 32 == 0xFFFF }

    package var isLoopback: Bool { isV4 ? low >> 24 & 0xFF == 127 : high == 0 && low == 1 }

    /// Whom limits by address count: a machine has one IPv4 address, but of IPv6 a whole /64 to choose from.
    var holder: IPAddress { isV4 ? self : IPAddress(high: high, low: 0) }

    /// With all but the first bits 0.
    func prefix(_ length: Int) -> IPAddress {
        IPAddress(
            high: high & IPAddress.mask(min(64, length)), low: low & IPAddress.mask(max(0, length - 64)))
    }

    private static func mask(_ length: Int) -> UInt64 { length == 0 ? 0 : .max << UInt64(64 - length) }
}

/// A network as it is written in `allow` and `deny`: `10.0.0.0/8`, `2001:db8::/32`, or a single address.
package struct Network: Hashable, Sendable, CustomStringConvertible {
    private let base: IPAddress
    /// In bits of the IPv6 address, also of an IPv4 network.
    private let length: Int
    package let description: String

    /// - Throws: `usage`, saying what is wrong with the text.
    package init(_ text: String) throws(ApusError) {
        func problem(_ what: String, hint: String? = nil) -> ApusError {
            ApusError(
                .usage, "\"\(text)\" is no network: \(what)",
                hint: hint ?? "Write it as in 10.0.0.0/8, 2001:db8::/32 or 192.0.2.7.")
        }
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let address = IPAddress(String(parts[0])) else { throw problem("\"\(parts[0])\" is no numeric address") }
        let isMapped = address.isV4 && parts[0].contains(":")
        let bits = address.isV4 && !isMapped ? 32 : 128
        var given = bits
        if parts.count > 1 {
            guard parts[1].allSatisfy({ $0.isASCII && $0.isNumber }), let number = Int(parts[1]), number <= bits else {
                throw problem("the prefix \"\(parts[1])\" is not a number from 0 to \(bits)")
            }
            given = number
        }
        length = given + 128 - bits
        base = address.prefix(length)
        guard base == address else {
            throw problem(
                "the address has bits behind the prefix",
                hint: "Write the network's first address, or leave out \"/\(parts[1])\" to mean this one alone.")
        }
        description = text
    }

    package func contains(_ address: IPAddress) -> Bool {
        // ::/0 is all of IPv6, and no IPv4.
        address.isV4 == base.isV4 && address.prefix(length) == base
    }
}
