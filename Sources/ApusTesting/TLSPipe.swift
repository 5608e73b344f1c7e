internal import NIOCore
internal import NIOEmbedded
package import NIOSSL
internal import NIOTLS

/// TLS for a scripted peer: bytes in, bytes out, no socket. Confined to one thread.
package final class TLSPipe {
    private let channel: EmbeddedChannel
    private let encryption: NIOSSLClientHandler
    private let staysOpen = StaysOpen()
    private let ending = Ending()

    /// Whether the other side has said that nothing more comes: `close_notify`.
    package var isInputClosed: Bool { ending.isInputClosed || staysOpen.isClosed }

    /// Whether both sides have agreed.
    var isOpen: Bool { ending.isOpen }

    /// - Parameters:
    ///   - authority: the file whom to trust.
    ///   - certificate: what to show, without its ending; nil: none.
    package init(authority: String = "ca.pem", certificate: String? = nil, version: TLSVersion? = nil) throws {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.trustRoots = .file(TestCertificates.path(authority))
        configuration.certificateVerification = .noHostnameVerification
        configuration.maximumTLSVersion = version
        if let certificate {
            configuration.certificateChain = try NIOSSLCertificate.fromPEMFile(
                TestCertificates.path("\(certificate).pem")
            ).map { .certificate($0) }
            configuration.privateKey = .privateKey(
                try NIOSSLPrivateKey(file: TestCertificates.path("\(certificate).key"), format: .pem))
        }
        channel = EmbeddedChannel()
        channel.allowRemoteHalfClosure = true
        encryption = try NIOSSLClientHandler(
            context: NIOSSLContext(configuration: configuration), serverHostname: nil)
        try channel.pipeline.syncOperations.addHandlers(staysOpen, encryption, ending)
        channel.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 1), promise: nil)
    }

    deinit {
        // With them its end would wait for the other side's farewell.
        let pipeline = channel.pipeline.syncOperations
        for handler in [encryption, staysOpen] as [any RemovableChannelHandler] {
            pipeline.removeHandler(handler, promise: nil)
        }
        _ = try? channel.finish(acceptAlreadyClosed: true)
    }

    /// What is to be sent to say this.
    package func encrypt(_ bytes: [UInt8]) throws -> [UInt8] {
        channel.writeAndFlush(ByteBuffer(bytes: bytes), promise: nil)
        try channel.throwIfErrorCaught()
        return takeOutput()
    }

    /// - Returns: what has been said, and what is to be sent to go on.
    /// - Throws: what the other side's TLS is refused with, or says.
    package func receive(_ bytes: [UInt8]) throws -> (said: [UInt8], answer: [UInt8]) {
        try channel.writeInbound(ByteBuffer(bytes: bytes))
        var said: [UInt8] = []
        while let buffer = try channel.readInbound(as: ByteBuffer.self) { said += buffer.readableBytesView }
        return (said, takeOutput())
    }

    /// `close_notify`: what is to be sent to half-close.
    package func closeSending() -> [UInt8] {
        channel.close(mode: .output, promise: nil)
        return takeOutput()
    }

    package func takeOutput() -> [UInt8] {
        var output: [UInt8] = []
        while let buffer = (try? channel.readOutbound(as: ByteBuffer.self)) ?? nil {
            output += buffer.readableBytesView
        }
        return output
    }
}

/// The embedded channel would take the end of one direction for the end of both.
private final class StaysOpen: ChannelOutboundHandler, RemovableChannelHandler {
    typealias OutboundIn = ByteBuffer

    /// Both directions have ended.
    private(set) var isClosed = false

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        if case .all = mode { isClosed = true }
        promise?.succeed(())
    }
}

private final class Ending: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    var isInputClosed = false
    var isOpen = false

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case ChannelEvent.inputClosed = event { isInputClosed = true }
        if case TLSUserEvent.handshakeCompleted = event { isOpen = true }
        context.fireUserInboundEventTriggered(event)
    }
}
