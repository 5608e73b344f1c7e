internal import ApusModel
internal import DequeModule

/// The event loop's end of a ``DeliveryQueue``: collects a read turn's elements. Confined to the event loop.
final class Stream<Element: Sendable> {
    let number: UInt32
    let queue: DeliveryQueue<Element>
    /// Messages up to it are left out: the application has had them.
    var skipThrough: Seq = 0
    private(set) var lastSeq: Seq = 0
    private(set) var count = 0
    private(set) var bytes = 0
    private var staged: Deque<Element> = []

    init(number: UInt32, queue: DeliveryQueue<Element>) {
        self.number = number
        self.queue = queue
    }

    var isStaging: Bool { !staged.isEmpty }

    /// - Parameter bytes: what it costs; 0 for what came without credit.
    func stage(_ element: Element, bytes: Int, seq: Seq?) {
        staged.append(element)
        if let seq {
            count += 1
            lastSeq = max(lastSeq, seq)
        }
        self.bytes += bytes
    }

    /// Hands over what was collected.
    func push() {
        if !staged.isEmpty { queue.push(&staged, count: count, bytes: bytes) }
        count = 0
        bytes = 0
    }
}
