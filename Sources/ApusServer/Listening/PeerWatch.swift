internal import Glibc
internal import NIOCore

/// How the kernel finds a peer whose machine is gone.
enum PeerWatch {
    /// Keep-alive probes find a peer that is gone while nothing is on its way to it: the first after half of the
    /// time, then ten more until it is up.
    static func configure(_ channel: any Channel, timeoutSeconds: Int) {
        guard let options = channel.syncOptions else { return }
        let probes = 10
        // Where the system refuses an option, its own default stays.
        for (name, value) in [
            (TCP_KEEPIDLE, timeoutSeconds / 2), (TCP_KEEPINTVL, timeoutSeconds / 2 / probes), (TCP_KEEPCNT, probes),
        ] {
            try? options.setOption(.tcpOption(NIOBSDSocket.Option(rawValue: name)), value: max(1, value))
        }
    }

    /// Who has connected to a Unix socket: `uid 1000`, or nil where the system does not tell.
    static func user(of channel: any Channel) -> EventLoopFuture<String?> {
        guard let provider = channel as? any SocketOptionProvider else {
            return channel.eventLoop.makeSucceededFuture(nil)
        }
        let credentials: EventLoopFuture<PeerUser> = provider.unsafeGetSocketOption(
            level: .socket, name: NIOBSDSocket.Option(rawValue: SO_PEERCRED))
        return credentials.map { "uid \($0.uid)" as String? }.recover { _ in String?.none }
    }

    /// Whether a machine to which something is on its way has not answered for `timeoutSeconds`.
    ///
    /// TCP_USER_TIMEOUT would do this, but it also ends connections to a peer that merely does not read: measured on
    /// Linux 6.18, a peer with a full receive window was cut off after 3.4 s at a timeout of 3 s, although its kernel
    /// answered every probe. Such a peer is a subscriber that sleeps, and may.
    static func isDead(_ channel: any Channel, timeoutSeconds: Int, answer: @escaping @Sendable (Bool) -> Void) {
        guard let info = info(channel) else { return answer(false) }
        info.whenComplete { result in
            guard case .success(let info) = result else { return answer(false) }
            answer(info.isDead(timeoutSeconds: timeoutSeconds))
        }
    }

    /// What the kernel knows of a connection; nil where the channel is no socket.
    static func info(_ channel: any Channel) -> EventLoopFuture<TCPInfo>? {
        (channel as? any SocketOptionProvider)?.unsafeGetSocketOption(
            level: .tcp, name: NIOBSDSocket.Option(rawValue: TCP_INFO))
    }
}

/// Linux's `struct ucred`.
private struct PeerUser: BitwiseCopyable, Sendable {
    var pid: Int32 = 0
    var uid: UInt32 = 0
    var gid: UInt32 = 0
}

/// The beginning of Linux's `struct tcp_info`, which only ever grows at its end.
struct TCPInfo: BitwiseCopyable, Sendable {
    var state: UInt8 = 0
    var congestionState: UInt8 = 0
    var retransmits: UInt8 = 0
    var probes: UInt8 = 0
    var backoff: UInt8 = 0
    var options: UInt8 = 0
    var windowScales: UInt8 = 0
    var flags: UInt8 = 0
    var rto: UInt32 = 0
    var ato: UInt32 = 0
    var sendMSS: UInt32 = 0
    var receiveMSS: UInt32 = 0
    var unacknowledged: UInt32 = 0
    var sacked: UInt32 = 0
    var lost: UInt32 = 0
    var retransmitted: UInt32 = 0
    var fackets: UInt32 = 0
    var lastDataSent: UInt32 = 0
    var lastAckSent: UInt32 = 0
    var lastDataReceived: UInt32 = 0
    /// Milliseconds ago.
    var lastAckReceived: UInt32 = 0

    /// More than one retransmission or probe without an answer: one may be on its way.
    var isUnanswered: Bool { retransmits > 1 || probes > 1 }

    func isDead(timeoutSeconds: Int) -> Bool { isUnanswered && Int(lastAckReceived) >= timeoutSeconds * 1_000 }
}
