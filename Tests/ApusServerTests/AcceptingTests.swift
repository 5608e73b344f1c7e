import Logging
import NIOCore
import NIOEmbedded
import Testing

@testable import ApusServer

@Suite("Accepting")
struct AcceptingTests {
    private let loop = EmbeddedEventLoop()

    private func listener(_ admission: Admission) throws -> EmbeddedChannel {
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let channel = EmbeddedChannel(
            handler: AdmissionHandler(admission: admission, connectionsMax: 1, logger: logger), loop: loop)
        channel.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 1), promise: nil)
        return channel
    }

    private func child() -> EmbeddedChannel { EmbeddedChannel(loop: loop) }

    private func accept(_ child: EmbeddedChannel, _ listener: EmbeddedChannel) throws {
        try listener.writeInbound(child as any Channel)
    }

    private func served(_ listener: EmbeddedChannel) throws -> Bool {
        try listener.readInbound(as: (any Channel).self) != nil
    }

    @Test("max-connections: two listeners that accept at the same time have one slot left between them")
    func exact() throws {
        let admission = Admission(connectionsMax: 1)
        let (first, second) = (try listener(admission), try listener(admission))
        let children = [child(), child(), child()]
        // Both were allowed to accept while there was room.
        first.read()
        second.read()
        try accept(children[0], first)
        try accept(children[1], second)
        #expect(try served(first))
        #expect(try !served(second), "it waits until it has a slot")
        #expect(admission.open == 1)
        second.read()
        children[0].close(promise: nil)
        loop.run()
        #expect(try served(second))
        #expect(admission.open == 1)
        children[1].close(promise: nil)
        loop.run()
        #expect(admission.open == 0)
        try accept(children[2], second)
        #expect(try served(second), "and accepting goes on")
    }

    @Test("closes who waits for a slot where the listener ends")
    func ends() throws {
        let admission = Admission(connectionsMax: 1)
        let (first, second) = (try listener(admission), try listener(admission))
        let (served, waiting) = (child(), child())
        try accept(served, first)
        try accept(waiting, second)
        second.close(promise: nil)
        loop.run()
        #expect(!waiting.isActive)
        served.close(promise: nil)
        loop.run()
        #expect(admission.open == 0)
    }
}
