// Part of station 7, cursors. Runs on the connection's event loop. In: a piece of a batch. Out: its bytes on the wire,
// which all subscriptions that wish the same share.

internal import ApusBroker
internal import ApusModel
internal import ApusWire
internal import NIOCore

/// Messages become bytes of the native protocol.
struct MessageEncoder {
    let way: Way
    /// By topic and encoding index of the batch: what their messages share.
    private var fragments: [UInt64: EnvelopeFragment] = [:]
    private var last: (key: UInt64, fragment: EnvelopeFragment)?

    init(way: Way) { self.way = way }

    static func chunk(_ request: ChunkRequest, way: Way) -> Chunk {
        var encoder = MessageEncoder(way: way)
        return encoder.chunk(request)
    }

    private mutating func chunk(_ request: ChunkRequest) -> Chunk {
        let count = request.selection.count(in: request.batch)
        var chunk = Chunk(bytes: buffer(for: request, count), end: request.start, count: 0, expired: [])
        while chunk.end < count, chunk.count < request.countMax {
            let message = request.selection.message(chunk.end, in: request.batch)
            let size = MessageEncoder.size(message, of: request.batch)
            guard chunk.bytes.readableBytes == 0 || chunk.bytes.readableBytes + size <= request.bytesMax else { break }
            chunk.end += 1
            if message.expiresAt != 0, message.expiresAt <= request.now {
                chunk.expired.append(message.seq)
                continue
            }
            write(
                message, of: request.batch, .subscription(request.subscription), isRetained: request.isRetained,
                into: &chunk.bytes)
            chunk.count += 1
        }
        return chunk
    }

    /// About what a message takes, its topic included.
    private static func size(_ message: StoredMessage, of batch: MessageBatch) -> Int {
        Int(message.payload.length + message.headers.length) + batch.topics[Int(message.topic)].bytes.count + 64
    }

    /// About as large as needed, because a buffer that grows is copied, and not larger than the bound, because storage
    /// comes in powers of two: a little more than one would take the next.
    private func buffer(for request: ChunkRequest, _ count: Int) -> ByteBuffer {
        guard request.start < count else { return ByteBuffer() }
        let first = request.selection.message(request.start, in: request.batch)
        let each = MessageEncoder.size(first, of: request.batch)
        let left = min(count - request.start, request.countMax)
        return ByteBufferAllocator().buffer(capacity: max(each, min(each * left, request.bytesMax)))
    }

    mutating func write(
        _ message: StoredMessage, of batch: MessageBatch, _ address: EnvelopeWriter.Address, isRetained: Bool,
        into out: inout ByteBuffer
    ) {
        let fragment = fragment(message, batch)
        let way = way
        batch.arenas[Int(message.arena)].withUnsafeReadableBytes { arena in
            let content = EnvelopeWriter.Content(
                headers: UnsafeRawBufferPointer(rebasing: arena[message.headers.range]),
                key: UnsafeRawBufferPointer(rebasing: arena[message.key.range]),
                payload: UnsafeRawBufferPointer(rebasing: arena[message.payload.range]))
            EnvelopeWriter.message(
                address, seq: message.seq, time: message.receivedAt, isRetained: isRetained, fragment: fragment,
                content: content, way: way, into: &out)
        }
    }

    private mutating func fragment(_ message: StoredMessage, _ batch: MessageBatch) -> EnvelopeFragment {
        let key = UInt64(message.topic) << 32 | UInt64(message.encoding)
        if let last, last.key == key { return last.fragment }
        let fragment =
            fragments[key]
            ?? EnvelopeFragment(
                topic: batch.topics[Int(message.topic)], encoding: batch.encodings[Int(message.encoding)], way: way)
        fragments[key] = fragment
        last = (key, fragment)
        return fragment
    }
}
