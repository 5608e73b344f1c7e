// Station 0, admission. Runs on the accepting event loops. In: connections that wait in the kernel's backlog. Bounded
// by `max-connections`: at the limit nothing is accepted, and the backlog waits. Who may come in through a listener, its
// `ListenerGate` says once a connection is accepted, because before that nobody knows where it comes from.

internal import ApusBroker
internal import Logging
internal import NIOConcurrencyHelpers
internal import NIOCore

/// How many connections there are, over all listeners.
final class Admission: Sendable {
    private struct State {
        var open = 0
        /// Those that are being told why they may not come in. They are not open.
        var refused: Set<ObjectIdentifier> = []
        var waiting: [@Sendable () -> Void] = []

        mutating func takeWaiting() -> [@Sendable () -> Void] {
            defer { waiting = [] }
            return waiting
        }
    }

    /// So many may be told at a time; others are closed without a word.
    static let refusedMax = 64

    private let connectionsMax: Int
    /// Of the connections, those that only this machine gets.
    private let reserve: Int
    private let state = NIOLockedValueBox(State())

    init(connectionsMax: Int, loopbackReserve: Int = 0) {
        self.connectionsMax = connectionsMax
        reserve = min(loopbackReserve, connectionsMax / 2)
    }

    var open: Int { state.withLockedValue { $0.open } }
    var beingRefused: Int { state.withLockedValue { $0.refused.count } }

    /// Whether what is kept for this machine has been touched, the connection in question counted.
    var isReserveTouched: Bool { open > connectionsMax - reserve }

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

    func closed(_ connection: ObjectIdentifier) {
        let waiting = state.withLockedValue { state in
            if state.refused.remove(connection) != nil { return [] as [@Sendable () -> Void] }
            state.open -= 1
            return state.takeWaiting()
        }
        for resume in waiting { resume() }
    }

    /// An accepted connection gives its place back while it is told that it may not come in.
    ///
    /// - Returns: false where so many are being told already that this one is to be closed at once.
    func refuse(_ connection: ObjectIdentifier) -> Bool {
        let waiting = state.withLockedValue { state -> [@Sendable () -> Void]? in
            guard state.refused.count < Admission.refusedMax else { return nil }
            state.refused.insert(connection)
            state.open -= 1
            return state.takeWaiting()
        }
        for resume in waiting ?? [] { resume() }
        return waiting != nil
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
    /// One of both is in the log, and its end is not.
    private var isSaid = false
    private let fullness = OnceAMinute()
    private var isReminderDue = false
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
        (isFailing, isSaid) = (true, true)
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
        sayFull(loop)
    }

    /// At the limit each one that goes lets one in that waits: that is said once a minute, and where it lasts, then.
    private func sayFull(_ loop: any EventLoop) {
        guard !isFull else { return }
        isFull = true
        if fullness.happened(now: .now()) != nil { return warn() }
        guard !isReminderDue else { return }
        isReminderDue = true
        let bound = NIOLoopBound(self, eventLoop: loop)
        loop.scheduleTask(in: .minutes(1)) { bound.value.remind() }
    }

    private func remind() {
        isReminderDue = false
        if isFull, !isSaid { warn() }
    }

    private func warn() {
        isSaid = true
        logger.warning("no more connections are accepted", metadata: ["max-connections": "\(connectionsMax)"])
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
        guard hasSlot else { return sayFull(loop) }
        held = nil
        if isSaid { logger.notice("connections are accepted again") }
        (isFull, isFailing, isSaid) = (false, false, false)
        let connection = ObjectIdentifier(child)
        child.closeFuture.whenComplete { [admission] _ in admission.closed(connection) }
        context.fireChannelRead(wrapInboundOut(child))
        guard isReadDue else { return }
        isReadDue = false
        read(context: context)
    }
}
