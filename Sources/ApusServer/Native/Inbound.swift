// Stations 2 and 3 for publishes. Runs on the connection's event loop. In: bytes. Out: a submission a turn, and
// whatever is not a publish, one by one.

internal import ApusBroker
internal import ApusModel
internal import ApusWire
internal import NIOCore

/// What every publish passes through, in one value: a run of publishes is one access to it, not three a message.
struct Inbound {
    /// Why a run of publishes ended.
    enum Stop {
        /// What comes next is not a whole compact publish.
        case other
        /// This one was refused; the conversation goes on.
        case refused(ErrorReply, isAnswered: Bool)
        case finish(Frame)
    }

    var reader: FrameReader
    var builder: SubmissionBuilder
    var session: NativeSession
    /// Accepted publishes without an id that will be answered, not yet reported.
    private(set) var acceptedWithoutID: UInt64 = 0
    /// Publishes accepted so far.
    private(set) var accepted: UInt64 = 0
    /// What may still be done in this turn of the connection.
    private(set) var workLeft = Inbound.workMax
    /// Reused from frame to frame.
    private var publish = Publish(fields: ByteBuffer(), content: ByteBuffer())

    init(reader: FrameReader, builder: SubmissionBuilder, session: NativeSession) {
        self.reader = reader
        self.builder = builder
        self.session = session
    }

    // MARK: Work

    /// What one turn of one connection may cost, in compact publishes: about a millisecond. A turn of 256 KiB has fewer
    /// of them where they have 100 bytes of payload or more.
    static let workMax = 2_048

    /// The next turn begins.
    mutating func beginTurn() { workLeft = Inbound.workMax }

    /// A frame other than a compact publish is done: JSON is parsed, filters go into the trie and out of it.
    mutating func spend(_ frame: Frame) {
        let work =
            switch frame {
            case .publish: 4
            case .subscribe(let subscribe): subscribe.filters.reduce(16) { $0 + 4 + 2 * $1.levels.count }
            case .query(let query): 16 + 4 * query.filters.count
            default: 16
            }
        workLeft -= work
    }

    /// Takes publishes until something else comes, or the turn's work is done.
    mutating func takePublishes(_ connection: ConnectionID) throws(ApusError) -> Stop {
        // What it refers to would pin the receive buffer.
        defer { (publish.fields, publish.content) = (ByteBuffer(), ByteBuffer()) }
        while workLeft > 0, try reader.nextPublish(into: &publish) {
            workLeft -= 1
            if let stop = take(publish, connection) { return stop }
        }
        return .other
    }

    /// - Returns: nil where it was accepted.
    mutating func take(_ publish: borrowing Publish, _ connection: ConnectionID) -> Stop? {
        if case .finish(let frame) = session.receivedPublish(id: publish.id, hasID: publish.hasID) {
            return .finish(frame)
        }
        do throws(ApusError) {
            try builder.add(
                publish, connection: connection, publisher: session.publisher,
                expectedBytes: expectedBytes(publish))
        } catch {
            let reply = ErrorReply(error, id: publish.hasID ? publish.id : nil, count: 1)
            return .refused(reply, isAnswered: publish.level != .none)
        }
        accepted += 1
        if !publish.hasID, publish.level != .none { acceptedWithoutID += 1 }
        return nil
    }

    /// What is still to come of the turn if all of it is like this one.
    private func expectedBytes(_ publish: borrowing Publish) -> Int {
        let content = publish.content.readableBytes
        return content + min(reader.bytesLeft, max(0, workLeft) * (publish.fields.readableBytes + content))
    }

    mutating func takeAcceptedWithoutID() -> UInt64 {
        defer { acceptedWithoutID = 0 }
        return acceptedWithoutID
    }
}
