// Station 3, actions. Runs on the connection's event loop. In: what the session decides. Out: replies, subscriptions,
// queries, names to open. Bounded by the session's limits, and by what the connection gave up and is still being read.

internal import ApusBroker
internal import ApusModel
internal import ApusWire
internal import Logging
internal import NIOCore

extension NativeHandler {
    func perform(_ action: NativeSession.Action) {
        switch action {
        case .nothing: break
        // A publish that could not be read is answered in its place, like one that was refused.
        case .reply(.error(let refused)) where refused.count > 0:
            told(refused.error)
            refuse(refused)
        case .reply(let frame): reply(frame)
        case .openPublisher(let name, let user):
            // Each new name is a row in the log, and there are `max-publishers` of them.
            guard !guest.identity.rights.publish.isNothing else {
                return perform(session.openingFailed(Guest.mayNotPublish))
            }
            pauses.insert(.opening)
            let open = IntakeItem.openPublisher(OpenPublisher(connection: id, user: user, name: name))
            if case .refused(let error) = shared.intake.add(open, bytes: 0, rows: 1) {
                perform(session.openingFailed(error))
            }
        case .authenticate(let hello): authenticate(hello)
        case .checkLogin: renewLogin()
        case .subscribe(let subscribe): start(subscribe)
        case .unsubscribe(let number):
            guest.subscriptions[number] = nil
            if let subscription = subscriptions.removeValue(forKey: number) {
                shared.hub.unsubscribe(subscription)
                if subscription.isReading { subscription.onIdle = abandon() }
            }
        case .credit(let credit): add(credit)
        case .query(let query): start(query)
        case .cancelQuery(let number):
            guest.queries[number] = nil
            if let query = queries.removeValue(forKey: number) {
                query.cancel()
                if query.isReading { query.onIdle = abandon() }
            }
            reply(.end(QueryEnd(query: number, reason: "cancelled")))
        case .checkPeer: checkPeer()
        case .finish(let frame): finish(frame)
        }
    }

    /// So many reads of the log may be under way for what the connection has given up already.
    private static let abandonedMax = 16

    /// One more read of the log is under way for nobody: who makes many of them is not read until they are done.
    ///
    /// - Returns: to be called when it is done.
    private func abandon() -> () -> Void {
        abandoned += 1
        if abandoned >= NativeHandler.abandonedMax { pauses.insert(.abandoned) }
        return { [weak self] in
            guard let self else { return }
            abandoned -= 1
            if abandoned < NativeHandler.abandonedMax { resume(.abandoned) }
        }
    }

    private func checkPeer() {
        guard let channel = context?.channel else { return }
        let bound = NIOLoopBound(self, eventLoop: shared.loop)
        PeerWatch.isDead(channel, timeoutSeconds: shared.limits.peerTimeoutSeconds) { isDead in
            guard isDead else { return }
            bound.value.logger.info("the peer's machine does not answer any more")
            channel.close(promise: nil)
        }
    }

    func reply(_ frame: Frame) {
        if case .error(let reply) = frame { told(reply.error) }
        guard isWritable, replies.readableBytes == 0 else {
            FrameWriter.write(frame, way ?? .json, into: &replies)
            if replies.storageCapacity > shared.limits.repliesBytesMax { pauses.insert(.replies) }
            return
        }
        FrameWriter.write(frame, way ?? .json, into: &out)
        needsFlush = true
    }

    /// Every error that the client is told passes here once: it is counted, and logged as far as the operator has to
    /// know it.
    func told(_ error: ApusError) {
        shared.gauges.refused(error.code)
        switch error.code {
        case .notAllowed:
            // One line a connection: what a misconfigured device may not do, it tries with every message.
            let level = hasExceededRights ? Logger.Level.debug : .info
            hasExceededRights = true
            logger.log(level: level, "not allowed", metadata: ["reason": "\(error.message)"])
        case .logDamaged:
            guard let times = shared.damage.happened(now: .now()) else { return }
            logger.error("the log is damaged", metadata: ["reason": "\(error.message)", "times": "\(times)"])
        default: break
        }
    }
}
