internal import ApusModel
internal import DequeModule

/// The newest committed batches, kept in memory. Confined to one event loop; the batches themselves are shared by all.
struct Tail {
    private var batches: Deque<MessageBatch> = []
    private(set) var bytes = 0
    private let bytesMax: Int
    /// The tail speaks for (`after`, `through`].
    private(set) var after: Seq
    private(set) var through: Seq

    init(bytesMax: Int, head: Seq) {
        self.bytesMax = bytesMax
        after = head
        through = head
    }

    mutating func reset(head: Seq) {
        batches.removeAll()
        bytes = 0
        after = head
        through = head
    }

    /// The newest batch always stays, however large it is: it is announced from here.
    mutating func append(_ batch: MessageBatch) {
        batches.append(batch)
        bytes += batch.bytes
        through = batch.through
        while bytes > bytesMax, batches.count > 1, let oldest = batches.popFirst() {
            bytes -= oldest.bytes
            after = oldest.through
        }
    }

    func covers(_ position: Seq) -> Bool { position >= after }

    /// The batch with the first seq behind `position`.
    func batch(behind position: Seq) -> MessageBatch? {
        var low = 0
        var high = batches.count
        while low < high {
            let middle = (low + high) / 2
            if batches[middle].through <= position { low = middle + 1 } else { high = middle }
        }
        return low < batches.count ? batches[low] : nil
    }
}
