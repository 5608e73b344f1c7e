import Foundation
import Glibc
import Testing

extension ProcessTests {
    @Suite("A subscriber that sleeps")
    struct StoppedSubscriberTests {
        private static let messages = 12_800
        private static let payloadBytes = 8_192
        private static let tailBytes = 4 << 20
        private static let outboxBytes = 256 << 10

        @Test("While 100 MB go by it costs the broker its outbox and no more; others see everything; awake, so does it")
        func stopped() async throws {
            try await Workshop.open { workshop in
                let broker = try await workshop.broker(
                    "--tail-bytes", "\(Self.tailBytes)", "--outbox-bytes", "\(Self.outboxBytes)", "--pages-bytes",
                    "1048576")
                let payload = try workshop.file(
                    "payload", (0..<Self.payloadBytes).map { UInt8(truncatingIfNeeded: $0) })
                // As much as the tail holds goes by before anybody sleeps: what the broker needs in any case.
                try await workshop.done("pub", "warm", "-f", payload, "--repeat", "1600", "-s", broker.server)
                let sleeper = try workshop.apus(
                    "sub", "load", "-C", "\(Self.messages)", "--raw", "--verbose", "-s", broker.server,
                    output: .file(workshop.path("sleeper")))
                try await sleeper.says("subscribed")
                let other = try workshop.apus(
                    "sub", "load", "-C", "\(Self.messages)", "--raw", "--verbose", "-s", broker.server,
                    output: .file(workshop.path("other")))
                try await other.says("subscribed")
                sleeper.signal(SIGSTOP)
                let before = try broker.residentBytes
                try await workshop.done(
                    "pub", "load", "-f", payload, "--repeat", "\(Self.messages)", "-s", broker.server)
                #expect(try await other.ended().end == .exited(0))
                let growth = try broker.residentBytes - before
                // What 100 MB more may cost: the outbox, the pages, the buffers of publishing, and the allocator's rounding.
                #expect(growth < Self.tailBytes + Self.outboxBytes + (24 << 20), "it grew by \(growth >> 20) MiB")
                // It slept: it has not got it all yet.
                #expect((workshop.size("sleeper") ?? 0) < Self.messages * Self.payloadBytes / 2)
                sleeper.signal(SIGCONT)
                #expect(try await sleeper.ended().end == .exited(0))
                let one = try Data(contentsOf: URL(fileURLWithPath: payload))
                for name in ["sleeper", "other"] {
                    let whole = try Data(contentsOf: URL(fileURLWithPath: workshop.path(name)), options: .alwaysMapped)
                    try #require(whole.count == Self.messages * Self.payloadBytes, "\(name)")
                    let isSame = (0..<Self.messages).allSatisfy { index in
                        whole[(index * Self.payloadBytes)..<((index + 1) * Self.payloadBytes)] == one
                    }
                    #expect(isSame, "\(name)")
                }
            }
        }
    }
}
