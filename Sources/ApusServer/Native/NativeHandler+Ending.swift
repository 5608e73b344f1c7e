// The end of a conversation. Runs on the connection's event loop. What is owed is given first, then the last words are
// said, then the connection is closed: each step for a bounded time.

internal import ApusBroker
internal import ApusModel
internal import ApusWire
internal import Logging
internal import NIOCore

extension NativeHandler {
    func finish(_ frame: Frame) {
        if farewell == nil {
            farewell = frame
            // A peer that does not take what is owed to it is not waited for without end.
            if let channel = context?.channel {
                closeLater(in: .seconds(Int64(shared.limits.peerTimeoutSeconds)), channel)
            }
        }
        if case .error(let reply) = frame {
            shared.gauges.refused(reply.error.code)
            let reason = "\(reply.error.message) (\(reply.error.code.rawValue))"
            logger.info("the connection ends", metadata: ["reason": "\(reason)"])
        }
        finishIfNothingIsOwed()
    }

    /// The broker stops: answers what is in flight, then says goodbye.
    package func stop() {
        guard !session.isFinishing else { return }
        submit()
        finish(session.stop())
        flush()
    }

    func inputClosed() {
        isInputClosed = true
        if isLingering {
            // Unless the last words are still on their way.
            if hasSaidFarewell { context?.close(promise: nil) }
            return
        }
        session.inputClosed(now: .now())
        armTimer()
        finishIfCutOff()
        finishIfNothingIsOwed()
    }

    /// A frame that the peer's end has cut off. While there is a reason to wait, whole ones may still lie there: the
    /// end is seen although the connection is not read.
    func finishIfCutOff() {
        guard isInputClosed, pauses.isEmpty, !isWaitingForTurn, reader.isInsideFrame, !session.isFinishing else {
            return
        }
        finish(session.fail(ApusError(.malformedFrame, "the stream ends inside a frame")))
    }

    var owesNothing: Bool {
        inFlight.isEmpty && inbound.builder.isEmpty && answers.isEmpty && replies.readableBytes == 0
    }

    func finishIfNothingIsOwed() {
        guard let context, !isLingering, owesNothing, !isInsideRead else { return }
        if farewell == nil, isInputClosed, pauses.isEmpty, !isWaitingForTurn, !session.hasSubscriptions {
            _ = session.stop()
            farewell = .goodbye(reason: nil)
        }
        guard let farewell else { return }
        isLingering = true
        endReading()
        FrameWriter.write(farewell, way ?? .json, into: &out)
        linger(context)
    }

    /// Nothing of the log is sent any more.
    func endReading() {
        for subscription in subscriptions.values { shared.hub.unsubscribe(subscription) }
        for query in queries.values { query.cancel() }
        (subscriptions, queries) = ([:], [:])
    }

    /// Closing at once would reset the connection while the peer still sends, and the reset would eat the last words:
    /// the sending side is shut down, and what comes is read and dropped until the peer closes, for a bounded time.
    /// Before that the peer takes what is still on its way to it: as long as `peer-timeout`.
    func linger(_ context: ChannelHandlerContext) {
        closeLater(in: .seconds(Int64(shared.limits.peerTimeoutSeconds)), context.channel)
        let written = context.eventLoop.makePromise(of: Void.self)
        let bound = NIOLoopBound(self, eventLoop: shared.loop)
        let loop = context.eventLoop
        // Not from inside the flush that wrote it: what TLS has to say at the end would wait for that flush, and be lost.
        written.futureResult.whenComplete { _ in loop.execute { bound.value.saidFarewell() } }
        shared.counters.bytesOut.add(out.readableBytes)
        context.writeAndFlush(wrapOutboundOut(out), promise: written)
        out = ByteBuffer()
        pauses = []
        if !isInputClosed { context.read() }
    }

    func saidFarewell() {
        guard let context else { return }
        hasSaidFarewell = true
        if isInputClosed {
            context.channel.close(promise: nil)
        } else {
            closeLater(in: NativeHandler.lingerTime, context.channel)
            context.channel.close(mode: .output, promise: nil)
        }
    }

    func closeLater(in time: TimeAmount, _ channel: any Channel) {
        closing?.cancel()
        closing = channel.eventLoop.scheduleTask(in: time) { channel.close(promise: nil) }
    }

    static let lingerTime = TimeAmount.seconds(2)
}
