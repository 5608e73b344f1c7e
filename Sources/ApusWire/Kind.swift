/// The kinds of frames. The number is the first byte of a compact header, the name stands in a JSON header's `kind`.
package enum Kind: UInt8, Sendable, CaseIterable {
    case hello = 0x01
    case welcome = 0x02
    case publish = 0x03
    case published = 0x04
    case subscribe = 0x05
    case subscribed = 0x06
    case message = 0x07
    case credit = 0x08
    case ack = 0x09
    case nack = 0x0A
    case unsubscribe = 0x0B
    case caughtUp = 0x0C
    case gap = 0x0D
    case query = 0x0E
    case row = 0x0F
    case end = 0x10
    case ping = 0x11
    case pong = 0x12
    case error = 0x13
    case goodbye = 0x14

    package var name: String { self == .caughtUp ? "caught-up" : String(describing: self) }

    private static let byName = Dictionary(uniqueKeysWithValues: allCases.map { ($0.name, $0) })

    package init?(name: String) {
        guard let kind = Kind.byName[name] else { return nil }
        self = kind
    }
}

/// The two ways to write a header, told apart by its first byte.
package enum Way: Sendable {
    /// An object of RFC 8259, UTF-8.
    case json
    /// The kind's number, flags, content length, fixed fields, properties.
    case compact
}

/// The protocol's fixed numbers. docs/PROTOCOL.md is the specification.
package enum Wire {
    package static let version: UInt64 = 1
    /// Before every header: its length, u16.
    package static let lengthBytes = 2
    /// Of a compact header, before its kind's fixed fields: kind u8, flags u8, content length u32.
    package static let compactPrefixBytes = 6
    /// Of a property, before its value: tag u8, length u16.
    package static let propertyPrefixBytes = 3

    /// Flags of a compact `publish` and `published`.
    package enum PublishFlags {
        package static let levelMask: UInt8 = 0b11
        /// `publish`: retain. `published`: duplicate.
        package static let marked: UInt8 = 0b100
        package static let hasID: UInt8 = 0b1000
    }

    /// Flags of a compact `message`.
    package enum MessageFlags {
        package static let redelivered: UInt8 = 0b1
        package static let retained: UInt8 = 0b10
        package static let converted: UInt8 = 0b100
    }
}
