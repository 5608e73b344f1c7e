import Testing

extension ProcessTests {
    @Suite("A broker without descriptors left")
    struct DescriptorTests {
        @Test("Serves who is there, says once that it accepts nobody, and goes on when there is room")
        func outOfDescriptors() async throws {
            try await Workshop.open { workshop in
                let script = "ulimit -Sn 64 && ulimit -Hn 64 && exec \"$@\""
                let broker = try await workshop.broker(wrapper: ["sh", "-c", script, "sh"])
                try await broker.child.says("64 file descriptors allowed, 10064 needed for max-connections 10000")
                // More than it has descriptors for: the kernel's backlog holds the rest.
                let clients = try await onThread { Handed(try (0...68).map { _ in try RawClient(port: broker.port) }) }
                try await broker.child.says("cannot be accepted")
                try await onThread {
                    try clients.value[0].send(RawClient.publish("a", id: 1, [1]))
                    _ = try clients.value[0].expect("published")
                    // To read the log takes none either.
                    try clients.value[0].send(
                        RawClient.frame(
                            ##"{"kind":"subscribe","subscription":1,"filter":"#","from":{"last":1},"credit":1}"##))
                    _ = try clients.value[0].expect("subscribed")
                    // So many leave that all who wait find room.
                    for client in clients.value[1..<56] { client.endSending() }
                }
                try await broker.child.says("accepted again")
                try await onThread {
                    try clients.value[68].send(RawClient.publish("a", id: 1, [2]))
                    _ = try clients.value[68].expect("published")
                }
                let ended = try await broker.stop()
                #expect(ended.end == .exited(0))
                let said = ended.errors.split(separator: "\n").filter { $0.contains("cannot be accepted") }
                #expect(said.count == 1, "\(ended.errors)")
            }
        }
    }
}
