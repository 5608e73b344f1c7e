/// A run of messages of one publisher that reached their level. Messages of level `none` are in no run.
package struct PublishedRun: Hashable, Sendable {
    /// The id of its last message; nil where they have none.
    package var lastID: UInt64?
    package var count: UInt64
    /// The seq of its last message. The seqs of a run are consecutive. 0 for duplicates: theirs is not looked up.
    package var lastSeq: Seq
    /// The level reached.
    package var level: AckLevel
    /// They had been recorded before.
    package var isDuplicate: Bool

    package init(lastID: UInt64?, count: UInt64, lastSeq: Seq, level: AckLevel, isDuplicate: Bool = false) {
        self.lastID = lastID
        self.count = count
        self.lastSeq = lastSeq
        self.level = level
        self.isDuplicate = isDuplicate
    }

    /// Takes `next` in if it continues this run.
    package mutating func merge(_ next: PublishedRun) -> Bool {
        guard level == next.level, isDuplicate == next.isDuplicate, (lastID == nil) == (next.lastID == nil),
            isDuplicate || lastSeq + next.count == next.lastSeq
        else { return false }
        lastID = next.lastID
        count += next.count
        lastSeq = next.lastSeq
        return true
    }
}
