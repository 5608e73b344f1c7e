import ApusModel
import Logging
import NIOCore
import NIOEmbedded
import Testing

@testable import ApusHTTP

@Suite("Who may come in through the HTTP door")
struct HTTPAdmissionTests {
    private let door: EmbeddedChannel

    init() throws {
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        door = EmbeddedChannel(handler: HTTPAdmission(connectionsMax: 16, logger: logger))
    }

    /// - Returns: nil where it was turned away.
    private func connect(_ address: String) throws -> EmbeddedChannel? {
        let channel = EmbeddedChannel(loop: door.embeddedEventLoop)
        try channel.connect(to: try SocketAddress(ipAddress: address, port: 1)).wait()
        door.pipeline.fireChannelRead(channel as any Channel)
        door.embeddedEventLoop.run()
        return channel.isActive ? channel : nil
    }

    @Test("one address has a quarter of the places, and gets them back; an IPv6 address counts by its first 64 bits")
    func perAddress() throws {
        var open: [EmbeddedChannel] = []
        for _ in 0..<4 { open.append(try #require(try connect("192.0.2.1"))) }
        #expect(try connect("192.0.2.1") == nil)
        for host in 1...4 { #expect(try connect("2001:db8::\(host)") != nil) }
        #expect(try connect("2001:db8::5") == nil)
        #expect(try connect("2001:db8:0:1::1") != nil)
        open[0].close(promise: nil)
        door.embeddedEventLoop.run()
        #expect(try connect("192.0.2.1") != nil)
        #expect(try connect("192.0.2.1") == nil)
    }

    @Test("an eighth of the places is for this machine, which has no other bound than all of them")
    func thisMachine() throws {
        for host in 1...14 { #expect(try connect("192.0.2.\(host)") != nil) }
        #expect(try connect("192.0.2.15") == nil)
        for _ in 0..<2 { #expect(try connect("127.0.0.1") != nil) }
    }
}
