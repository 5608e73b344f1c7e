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
    /// Reused from frame to frame.
    private var publish = Publish(fields: ByteBuffer(), content: ByteBuffer())

    init(reader: FrameReader, builder: SubmissionBuilder, session: NativeSession) {
        self.reader = reader
        self.builder = builder
        self.session = session
    }

    /// Takes publishes until something else comes.
    mutating func takePublishes(_ connection: ConnectionID) throws(ApusError) -> Stop {
        // What it refers to would pin the receive buffer.
        defer { (publish.fields, publish.content) = (ByteBuffer(), ByteBuffer()) }
        while try reader.nextPublish(into: &publish) {
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
                expectedBytes: publish.content.readableBytes + reader.bytesLeft)
        } catch {
            let reply = ErrorReply(error, id: publish.hasID ? publish.id : nil, count: 1)
            return .refused(reply, isAnswered: publish.level != .none)
        }
        if !publish.hasID, publish.level != .none { acceptedWithoutID += 1 }
        return nil
    }

    mutating func takeAcceptedWithoutID() -> UInt64 {
        defer { acceptedWithoutID = 0 }
        return acceptedWithoutID
    }
}
