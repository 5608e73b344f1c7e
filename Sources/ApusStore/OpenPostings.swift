internal import ApusModel

/// Which topics the messages of the segments have that are not sealed yet: at most a few segments.
///
/// A message costs one append of eight bytes; sorting them by topic when the segment is full gives the lists.
struct OpenPostings {
    struct Unsealed {
        let segment: Segment
        /// Topic and offset in one number, so that sorting numbers sorts by topic, then by seq.
        var entries: [UInt64] = []
        var isSorted = false
        /// How many entries are in the file already.
        var written = 0
    }

    private(set) var segments: [Unsealed] = []

    private static let offsetBits: UInt64 = 14

    mutating func add(_ seq: Seq, topic: Int64) {
        let segment = Segment(of: seq)
        if segments.last?.segment != segment {
            segments.append(Unsealed(segment: segment))
            segments[segments.count - 1].entries.reserveCapacity(Int(Segment.seqs))
        }
        let offset = seq & (Segment.seqs - 1)
        segments[segments.count - 1].entries.append(UInt64(bitPattern: topic) << OpenPostings.offsetBits | offset)
    }

    /// Whether a segment is waiting that the next seq cannot fall into any more.
    func isDue(head: Seq) -> Bool {
        segments.first.map { $0.segment < Segment(of: head + 1) } ?? false
    }

    /// One topic's list of the oldest segment, from entry `start` on.
    struct Row {
        let segment: Segment
        let topic: Int64
        let seqs: [UInt8]
        /// The entry to go on from.
        let end: Int
    }

    /// Call once before ``row(from:)``: sorting is work that the file need not wait for.
    mutating func sortFirst() {
        guard let first = segments.first, !first.isSorted else { return }
        segments[0].entries.sort()
        segments[0].isSorted = true
    }

    /// - Returns: nil at the segment's end.
    func row(from start: Int) -> Row? {
        guard let first = segments.first, start < first.entries.count else { return nil }
        let topic = first.entries[start] >> OpenPostings.offsetBits
        var end = start
        while end < first.entries.count, first.entries[end] >> OpenPostings.offsetBits == topic { end += 1 }
        let seqs = PostingList.pack(first.entries[start..<end].lazy.map { Int($0 & (Segment.seqs - 1)) })
        return Row(segment: first.segment, topic: Int64(bitPattern: topic), seqs: seqs, end: end)
    }

    mutating func didWrite(through entry: Int) {
        guard !segments.isEmpty else { return }
        if entry >= segments[0].entries.count {
            segments.removeFirst()
        } else {
            segments[0].written = entry
        }
    }
}
