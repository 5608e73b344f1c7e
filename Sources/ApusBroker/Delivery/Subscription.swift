package import ApusModel
package import NIOCore

/// What a door does for the subscriptions of one connection. Called on its event loop.
package protocol SubscriptionOutlet: AnyObject {
    /// Its connection: what it asks of the log takes turns with what others ask.
    var id: ConnectionID { get }
    /// Whether the connection takes more: false stops the cursor until `Hub.resume(_:)`.
    var isWritable: Bool { get }
    /// Messages become bytes: from `start` of the selection on, up to the bounds, at least one.
    func encode(_ request: ChunkRequest) -> Chunk
    func write(_ chunk: Chunk)
    /// The first seq that can come is known.
    func subscribed(_ subscription: Subscription, next: Seq)
    /// Replay has reached now. Once for each subscription.
    func caughtUp(_ subscription: Subscription, seq: Seq)
    func gap(_ subscription: Subscription, _ gap: Gap)
    /// The subscription is over.
    func failed(_ subscription: Subscription, _ error: ApusError)
    /// The turn ends: one flush.
    func flush()
}

/// Subscriptions of which this is equal share one encoded chunk: what differs between subscribers is in it.
package struct ShareKey: Hashable, Sendable {
    package let number: UInt32
    package let form: UInt8

    package init(number: UInt32, form: UInt8) {
        self.number = number
        self.form = form
    }
}

/// Which messages of a batch a subscription wants.
package enum BatchSelection {
    case all
    /// Indices of messages, ascending.
    case some([UInt32])

    package func count(in batch: MessageBatch) -> Int {
        switch self {
        case .all: batch.messages.count
        case .some(let indices): indices.count
        }
    }

    package func message(_ index: Int, in batch: MessageBatch) -> StoredMessage {
        switch self {
        case .all: batch.messages[index]
        case .some(let indices): batch.messages[Int(indices[index])]
        }
    }

    func firstIndex(in batch: MessageBatch, after seq: Seq) -> Int {
        var low = 0
        var high = count(in: batch)
        while low < high {
            let middle = (low + high) / 2
            if message(middle, in: batch).seq <= seq { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

package struct ChunkRequest {
    package let batch: MessageBatch
    package let selection: BatchSelection
    /// Where to begin in the selection.
    package let start: Int
    package let subscription: UInt32
    package let isRetained: Bool
    package let bytesMax: Int
    package var countMax: Int
    /// Messages that expire up to now are left out.
    package let now: Microseconds
}

/// A run of encoded messages.
package struct Chunk {
    package var bytes: ByteBuffer
    /// Where to go on in the selection.
    package var end: Int
    package var count: Int
    /// Messages left out because they had expired.
    package var expired: [Seq]

    package init(bytes: ByteBuffer, end: Int, count: Int, expired: [Seq]) {
        self.bytes = bytes
        self.end = end
        self.count = count
        self.expired = expired
    }
}

/// A cursor on the log: where a subscriber stands, and whether it can take more. A slow subscriber costs this.
///
/// Confined to its event loop; not Sendable.
package final class Subscription {
    enum Phase {
        /// Its start is being looked up.
        case starting
        /// The retained messages up to `through` come first.
        case retained(through: Seq)
        case log
    }

    /// The client's number for it.
    package let number: UInt32
    package internal(set) var filters: FilterSet
    let shareKey: ShareKey
    var route: Route
    /// Among its route's subscriptions.
    var place = 0
    let start: StartPosition
    /// Not owned: the connection closes its subscriptions before it goes.
    unowned let outlet: any SubscriptionOutlet

    var phase = Phase.starting
    /// Everything up to here is behind it. While it is live this stands still, and the hub's `scanned` counts.
    var position: Seq = 0
    /// It has everything that the hub has seen.
    var isLive = false {
        didSet { if isLive != oldValue { route.livenessChanged(to: isLive) } }
    }
    package internal(set) var isReading = false
    /// What is being read was asked for with filters that hold no longer: it is dropped when it comes.
    var isReadStale = false
    /// Called when what was being read for it has come after it was closed.
    package var onIdle: (() -> Void)?
    var isClosed = false
    var hasCaughtUp = false
    /// Messages that may be sent; nil for no limit but the socket's.
    private(set) var credit: UInt64?

    init(
        number: UInt32, filters: FilterSet, shareKey: ShareKey, route: Route, start: StartPosition, credit: UInt64?,
        outlet: any SubscriptionOutlet
    ) {
        self.number = number
        self.filters = filters
        self.shareKey = shareKey
        self.route = route
        self.start = start
        self.credit = credit
        self.outlet = outlet
    }

    /// Whether its start is known.
    var hasBegun: Bool {
        if case .starting = phase { false } else { true }
    }

    /// What it waits for, if it is behind.
    var wait: CursorStanding.Wait {
        if isReading { return .log }
        return credit == 0 ? .credit : outlet.isWritable ? .turn : .client
    }

    var canTake: Bool { credit != 0 && outlet.isWritable }
    var countMax: Int { credit.map { Int(clamping: $0) } ?? Int.max }

    /// Saturates: a client cannot wrap it around.
    func add(credit more: UInt64) {
        guard let credit else { return }
        let (sum, overflow) = credit.addingReportingOverflow(more)
        self.credit = overflow ? .max : sum
    }

    func spend(_ count: Int) {
        if let credit { self.credit = credit - min(credit, UInt64(count)) }
    }
}
