internal import ApusModel
internal import CApus

/// The checksum stored with each message. It covers what the message means, not the ids of its names: else one flipped
/// byte in a topic's name would rename a million valid messages. A name's own checksum is computed once, so that costs
/// nothing.
enum RowChecksum {
    static func of(
        topic: UInt32, encoding: UInt32, seq: Seq, time: Microseconds, headers: UnsafeRawBufferPointer,
        key: UnsafeRawBufferPointer, payload: UnsafeRawBufferPointer
    ) -> UInt32 {
        // All numbers big-endian, lengths included, so that bytes cannot wander between the fields.
        var head = (
            (UInt64(topic) << 32 | UInt64(encoding)).bigEndian, seq.bigEndian, UInt64(bitPattern: time).bigEndian,
            (UInt64(headers.count) << 32 | UInt64(key.count)).bigEndian
        )
        var sum = withUnsafeBytes(of: &head) { capus_crc32c(0, $0.baseAddress, $0.count) }
        if headers.count > 0 { sum = capus_crc32c(sum, headers.baseAddress, headers.count) }
        if key.count > 0 { sum = capus_crc32c(sum, key.baseAddress, key.count) }
        return capus_crc32c(sum, payload.baseAddress, payload.count)
    }
}
