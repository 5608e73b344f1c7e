import ApusModel
import ApusWire
import NIOCore
import Testing

@testable import ApusClient

@Suite("Publishing", .timeLimit(.minutes(1)))
struct PublishTests {
    @Test("A publish returns the seq that the broker acknowledged")
    func acknowledged() async throws {
        let broker = try await ScriptedBroker.start()
        let (client, connection) = try await broker.connected()
        #expect(client.state == .connected)
        #expect(client.welcome.log == "log-a")

        async let receipt = client.publish(OutgoingMessage("hallo"))
        let publish = try await connection.publish()
        #expect(publish.hasID)
        #expect(publish.id == 1)
        #expect(String(buffer: publish.content) == "hallo")
        connection.published(through: 1, seq: 41)
        #expect(try await receipt == Receipt(seq: 41, level: .synced))

        async let left = client.close()
        await connection.end()
        #expect(await left.isEmpty)
        #expect(client.state == .closed)
    }
}
