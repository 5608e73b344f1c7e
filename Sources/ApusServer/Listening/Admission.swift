// Station 0, admission. Runs on the accepting event loops. In: connections that wait in the kernel's backlog. Bounded
// by `max-connections`: at the limit nothing is accepted, and the backlog waits.

internal import Logging
internal import NIOConcurrencyHelpers
internal import NIOCore

/// How many connections there are, over all listeners.
final class Admission: Sendable {
    private struct State {
        var open = 0
        var waiting: [@Sendable () -> Void] = []
    }

    private let connectionsMax: Int
    private let state = NIOLockedValueBox(State())

    init(connectionsMax: Int) { self.connectionsMax = connectionsMax }

    var open: Int { state.withLockedValue { $0.open } }

    /// - Parameter resume: called once there is room, where there is none now.
    /// - Returns: whether there was room: then the connection counts until ``closed()``.
    func open(orElse resume: @escaping @Sendable () -> Void) -> Bool {
        state.withLockedValue { state in
            guard state.open < connectionsMax else {
                state.waiting.append(resume)
                return false
            }
            state.open += 1
            return true
        }
    }

    func closed() {
        let waiting = state.withLockedValue { state in
            state.open -= 1
            defer { state.waiting = [] }
            return state.waiting
        }
        for resume in waiting { resume() }
    }

    /// - Parameter resume: called once there is room, where there is none now.
    /// - Returns: whether there is room now.
    func hasRoom(orElse resume: @escaping @Sendable () -> Void) -> Bool {
        state.withLockedValue { state in
            guard state.open >= connectionsMax else { return true }
            state.waiting.append(resume)
            return false
        }
    }
}

/// Stands in a listening channel: holds back accepting while there is no room. Confined to its event loop.
final class AdmissionHandler: ChannelDuplexHandler {
    typealias InboundIn = any Channel
    typealias InboundOut = any Channel
    typealias OutboundIn = Never

    private let admission: Admission
    private let logger: Logger
    private let connectionsMax: Int
    /// Why nothing is accepted is said once, and once more when it is over.
    private var isFull = false
    private var isFailing = false
    /// It was accepted while a listener of another event loop took the last slot: nobody else sees it before it has one.
    private var held: (any Channel)?
    private var isReadDue = false

    init(admission: Admission, connectionsMax: Int, logger: Logger) {
        self.admission = admission
        self.connectionsMax = connectionsMax
        self.logger = logger
    }

    /// Accepting failed: mostly for want of descriptors. `AcceptBackoffHandler`, behind this one, tries again later.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if !isFailing {
            logger.error("connections cannot be accepted for now", metadata: ["reason": "\(error)"])
        }
        isFailing = true
        context.fireErrorCaught(error)
    }

    func read(context: ChannelHandlerContext) {
        guard held == nil else {
            isReadDue = true
            return
        }
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        let loop = context.eventLoop
        let hasRoom = admission.hasRoom { loop.execute { bound.value.read() } }
        if hasRoom { return context.read() }
        sayFull()
    }

    private func sayFull() {
        if !isFull {
            logger.warning("no more connections are accepted", metadata: ["max-connections": "\(connectionsMax)"])
        }
        isFull = true
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        held = unwrapInboundIn(data)
        admit(context)
    }

    func channelInactive(context: ChannelHandlerContext) {
        held?.close(promise: nil)
        held = nil
        context.fireChannelInactive()
    }

    private func admit(_ context: ChannelHandlerContext) {
        guard let child = held else { return }
        let loop = context.eventLoop
        let bound = NIOLoopBound((self, context), eventLoop: loop)
        let hasSlot = admission.open {
            loop.execute {
                let (handler, context) = bound.value
                handler.admit(context)
            }
        }
        guard hasSlot else { return sayFull() }
        held = nil
        if isFull || isFailing { logger.notice("connections are accepted again") }
        (isFull, isFailing) = (false, false)
        child.closeFuture.whenComplete { [admission] _ in admission.closed() }
        context.fireChannelRead(wrapInboundOut(child))
        guard isReadDue else { return }
        isReadDue = false
        read(context: context)
    }
}
