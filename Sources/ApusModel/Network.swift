/// A network as it is written in `allow` and `deny`: `10.0.0.0/8`, `2001:db8::/32`, or a single address. However it is
/// written, the same network is equal.
package struct Network: Hashable, Sendable, CustomStringConvertible {
    private let base: IPAddress
    /// In bits of the IPv6 address, also of an IPv4 network.
    private let length: Int

    /// - Throws: `usage`, saying what is wrong with the text.
    package init(_ text: String) throws(ApusError) {
        func problem(_ what: String, hint: String? = nil) -> ApusError {
            ApusError(
                .usage, "\"\(text.shown)\" is no network: \(what)",
                hint: hint ?? "Write it as in 10.0.0.0/8, 2001:db8::/32 or 192.0.2.7.")
        }
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let address = IPAddress(parts[0]) else {
            throw problem("it does not begin with a numeric address")
        }
        let isMapped = address.isV4 && parts[0].contains(":")
        let bits = address.isV4 && !isMapped ? 32 : 128
        var given = bits
        if parts.count > 1 {
            guard let number = parts[1].decimal, number <= bits else {
                throw problem("behind the slash stands a number from 0 to \(bits)")
            }
            given = number
        }
        length = given + 128 - bits
        base = address.prefix(length)
        guard base == address else {
            throw problem(
                "there are bits behind the first \(given)",
                hint: "Write the network's first address, or leave out \"/\(given)\" to mean this one alone.")
        }
    }

    package var description: String { "\(base)/\(base.isV4 ? length - 96 : length)" }

    package func contains(_ address: IPAddress) -> Bool {
        // ::/0 is all of IPv6, and no IPv4.
        address.isV4 == base.isV4 && address.prefix(length) == base
    }
}
