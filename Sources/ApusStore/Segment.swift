internal import ApusModel

/// 16,384 consecutive seqs: the unit of the posting lists.
struct Segment: Hashable, Comparable {
    static let seqs: Seq = 16_384

    let number: UInt64

    init(of seq: Seq) { number = seq / Segment.seqs }
    init(number: UInt64) { self.number = number }

    var first: Seq { number * Segment.seqs }
    var last: Seq { first + Segment.seqs - 1 }
    var next: Segment { Segment(number: number + 1) }

    static func < (a: Segment, b: Segment) -> Bool { a.number < b.number }
}

/// The packed form of one topic's seqs in one segment: the first offset, then each one's distance from the one before,
/// as LEB128 varints. A common topic takes one byte a message, and the number of messages is the number of bytes
/// that end a varint.
enum PostingList {
    static func append(_ value: Int, to bytes: inout [UInt8]) {
        var value = value
        while value >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: value) | 0x80)
            value >>= 7
        }
        bytes.append(UInt8(truncatingIfNeeded: value))
    }

    static func pack(_ offsets: some Sequence<Int>) -> [UInt8] {
        var bytes: [UInt8] = []
        var previous = 0
        for offset in offsets {
            append(offset - previous, to: &bytes)
            previous = offset
        }
        return bytes
    }

    static func count(_ bytes: UnsafeRawBufferPointer) -> Int {
        bytes.reduce(0) { $0 + ($1 < 0x80 ? 1 : 0) }
    }

    /// - Returns: false where the bytes are no list of a segment: the file is damaged.
    static func unpack(_ bytes: UnsafeRawBufferPointer, segment: Segment, into seqs: inout [Seq]) -> Bool {
        var offset: UInt64 = 0
        var value: UInt64 = 0
        var isFirst = true
        var shift: UInt64 = 0
        for byte in bytes {
            value |= UInt64(byte & 0x7F) << shift
            if byte >= 0x80 {
                shift += 7
                guard shift <= 14 else { return false }
                continue
            }
            offset += value
            guard offset < Segment.seqs, value > 0 || isFirst else { return false }
            isFirst = false
            seqs.append(segment.first + offset)
            value = 0
            shift = 0
        }
        return shift == 0
    }

    /// The last seq of a list, or nil where it is damaged.
    static func last(_ bytes: UnsafeRawBufferPointer, segment: Segment) -> Seq? {
        var seqs: [Seq] = []
        return unpack(bytes, segment: segment, into: &seqs) ? seqs.last : nil
    }
}
