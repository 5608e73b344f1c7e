internal import CApus

/// CRC-32C, the checksum of the log (Castagnoli's polynomial, RFC 3720 appendix B.4).
package enum Checksum {
    /// The checksum of `bytes`, continuing from `state` (0 to begin).
    package static func of(_ bytes: [UInt8], continuing state: UInt32 = 0) -> UInt32 {
        bytes.withUnsafeBytes { of($0, continuing: state) }
    }

    package static func of(_ bytes: UnsafeRawBufferPointer, continuing state: UInt32 = 0) -> UInt32 {
        capus_crc32c(state, bytes.baseAddress, bytes.count)
    }

    package static func of(_ text: String, continuing state: UInt32 = 0) -> UInt32 {
        var text = text
        return text.withUTF8 { of(UnsafeRawBufferPointer($0), continuing: state) }
    }
}
