// Station 8, socket write. Runs on the connection's event loop. In: messages, replies, answers. Out: one flush a turn, the
// one exit for bytes. Bounded by the outbox: what does not fit waits as state, and stops reading or cursors.

internal import ApusBroker
internal import ApusModel
internal import ApusWire
internal import NIOCore

extension NativeHandler {
    /// Cursors stop also while replies wait, so that no message overtakes the reply that announces it.
    package var isWritable: Bool { replies.readableBytes == 0 && (context?.channel.isWritable ?? false) }

    /// Appends to the turn's small frames; large ones go by themselves.
    func write(_ bytes: ByteBuffer) {
        guard let context else { return }
        writeOut(context)
        shared.counters.bytesOut.add(bytes.readableBytes)
        context.write(wrapOutboundOut(bytes), promise: nil)
        needsFlush = true
    }

    private func writeOut(_ context: ChannelHandlerContext) {
        guard out.readableBytes > 0 else { return }
        shared.counters.bytesOut.add(out.readableBytes)
        context.write(wrapOutboundOut(out), promise: nil)
        out = ByteBuffer()
    }

    /// The one exit for bytes: what waits goes out as far as the peer takes it, and one flush. Where that made room,
    /// the cursors go on, in turns with the other connections of the loop.
    package func flush() {
        guard let context, !isInsideRead, !isFlushing else { return }
        isFlushing = true
        var turns = 0
        repeat {
            writeReplies(context)
            writeAnswers(context)
            // Last, because a cursor that is behind takes all the room there is.
            if becameWritable { resumeCursors() }
            if needsFlush {
                needsFlush = false
                writeOut(context)
                context.flush()
            }
            turns += 1
        } while (becameWritable || needsFlush) && turns < NativeHandler.flushTurnsMax
        isFlushing = false
        if becameWritable { continueLater() }
        resumeIfReplied()
        finishIfNothingIsOwed()
    }

    /// So many times the outbox is filled and emptied before others get their turn.
    private static let flushTurnsMax = 4

    private func continueLater() {
        shared.turns.later { [weak self] in self?.flush() }
    }

    private func writeReplies(_ context: ChannelHandlerContext) {
        guard context.channel.isWritable, replies.readableBytes > 0 else { return }
        out.writeBuffer(&replies)
        replies = ByteBuffer()
        needsFlush = true
    }

    private func writeAnswers(_ context: ChannelHandlerContext) {
        while context.channel.isWritable, out.readableBytes < NativeHandler.outBytesMax || drainOut(context),
            let frame = answers.next()
        {
            FrameWriter.write(frame, way ?? .json, into: &out)
            needsFlush = true
        }
    }

    /// Reads on where the peer has read what was pending for it.
    private func resumeIfReplied() {
        let answersWait =
            answers.count > shared.limits.answersMax || answers.bytes > shared.limits.repliesBytesMax
        if answersWait { pauses.insert(.replies) }
        guard pauses.contains(.replies), replies.readableBytes == 0, !answersWait else { return }
        pauses.remove(.replies)
        // Not at once: what is followed may fill the answers anew.
        if pauses.isEmpty { goOnLater() }
    }

    static let outBytesMax = 64 << 10

    /// - Returns: whether the peer takes more.
    private func drainOut(_ context: ChannelHandlerContext) -> Bool {
        writeOut(context)
        return context.channel.isWritable
    }

    private func resumeCursors() {
        becameWritable = false
        // Each time another one comes first: what one replay leaves of the room would never be enough for the others.
        let all = Array(subscriptions.values)
        turn = turn == .max ? 0 : turn + 1
        for index in all.indices { shared.hub.resume(all[(index + turn % all.count) % all.count]) }
        for query in queries.values { query.resume() }
    }
}
