import Testing

extension ProcessTests {
    @Suite("A broker without descriptors left")
    struct DescriptorTests {
        @Test("Serves who is there, says once that it accepts nobody, and goes on when there is room")
        func outOfDescriptors() async throws {
            try await Workshop.open { workshop in
                let script = "ulimit -Sn 48 && ulimit -Hn 48 && exec \"$@\""
                let broker = try await workshop.broker(wrapper: ["sh", "-c", script, "sh"])
                try await onThread {
                    let first = try RawClient(port: broker.port)
                    // More than it has descriptors for: the kernel's backlog holds the rest.
                    var others = try (0..<60).map { _ in try RawClient(port: broker.port) }
                    let last = others.removeLast()
                    try first.send(RawClient.publish("a", id: 1, [1]))
                    _ = try first.expect("published")
                    others.removeAll()
                    try last.send(RawClient.publish("a", id: 1, [2]))
                    _ = try last.expect("published")
                }
                let ended = try await broker.stop()
                #expect(ended.end == .exited(0))
                let said = ended.errors.split(separator: "\n").filter { $0.contains("cannot be accepted") }
                #expect(said.count == 1, "\(ended.errors)")
                #expect(ended.errors.contains("accepted again"))
            }
        }
    }
}
