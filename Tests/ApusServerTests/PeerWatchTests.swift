import ApusTesting
import NIOCore
import NIOPosix
import Testing

@testable import ApusServer

@Suite("The watch over peers")
struct PeerWatchTests {
    private static let cases: [(retransmits: UInt8, probes: UInt8, lastAck: UInt32, isDead: Bool)] = [
        (0, 0, 100_000, false),  // nothing is on its way: silence is no sign
        (1, 0, 100_000, false),  // one that is on its way
        (2, 0, 59_999, false),
        (2, 0, 60_000, true),
        (0, 2, 60_000, true),
        (0, 2, 10, false),  // a full receive window: its kernel answers every probe
    ]

    @Test("peer-timeout: one is dead that leaves repeated segments or probes unanswered for so long")
    func decision() {
        for (retransmits, probes, lastAck, isDead) in Self.cases {
            var info = TCPInfo()
            info.retransmits = retransmits
            info.probes = probes
            info.lastAckReceived = lastAck
            #expect(info.isDead(timeoutSeconds: 60) == isDead, "\(retransmits) \(probes) \(lastAck)")
        }
    }

    @Test("reads what the kernel says about a connection that is alive")
    func reads() async throws {
        try await withBroker { broker in
            let group = MultiThreadedEventLoopGroup.singleton
            let channel = try ClientBootstrap(group: group).connect(to: broker.addresses[0]).wait()
            let info = try #require(PeerWatch.info(channel)).wait()
            // TCP_ESTABLISHED
            #expect(info.state == 1)
            #expect(info.sendMSS > 500 && info.sendMSS <= 65_535)
            #expect(info.rto >= 200_000 && info.rto < 10_000_000, "microseconds: \(info.rto)")
            #expect(info.retransmits == 0 && info.probes == 0)
            #expect(info.lastAckReceived < 60_000)
            let answer = Watched<Bool?>(nil)
            PeerWatch.isDead(channel, timeoutSeconds: 1) { isDead in answer.change { $0 = isDead } }
            try answer.wait("an answer") { $0 != nil }
            #expect(answer.value == false)
            try channel.close().wait()
        }
    }
}
