package import ApusModel

/// A network in CIDR notation: `10.0.0.0/8`, `2001:db8::/32`; a single address is a network of one.
package struct NetworkRange: Hashable, Sendable, CustomStringConvertible {
    private let address: String
    private let bytes: [UInt8]
    package let prefixBits: Int

    /// - Throws: `usage`, saying what is wrong.
    package init(_ text: String) throws(ApusError) {
        func problem(_ what: String) -> ApusError {
            ApusError(.usage, "\"\(shown(text))\" is no network: \(what)", hint: "Write 10.0.0.0/8 or 2001:db8::/32.")
        }
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = parts.first, let address = AddressBytes(String(first)), address.zone.isEmpty else {
            throw problem("it does not begin with a numeric address")
        }
        let bitsMax = address.bytes.count * 8
        var bits = bitsMax
        if parts.count > 1 {
            guard let number = LimitText.number(parts[1]), number <= bitsMax else {
                throw problem("behind the slash stands a number from 0 to \(bitsMax)")
            }
            bits = number
        }
        for (index, byte) in address.bytes.enumerated() {
            let kept = min(8, max(0, bits - index * 8))
            guard kept == 8 || byte << UInt8(kept) == 0 else {
                throw problem("there are bits behind the first \(bits)")
            }
        }
        self.address = String(first)
        bytes = address.bytes
        prefixBits = bits
    }

    package var description: String { "\(address)/\(prefixBits)" }

    package static func == (a: NetworkRange, b: NetworkRange) -> Bool {
        a.bytes == b.bytes && a.prefixBits == b.prefixBits
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(bytes)
        hasher.combine(prefixBits)
    }
}
