internal import ApusClient
internal import ApusModel
internal import ApusServer
internal import ApusStore
internal import Foundation
internal import Logging
internal import NIOConcurrencyHelpers
internal import NIOCore

/// One measurement of the broker: in this process, over loopback sockets, on a log of its own.
enum BrokerRun {
    struct Result: CustomStringConvertible {
        /// Messages acknowledged after their fsync, a second.
        let rate: Double
        /// Messages a commit, on average.
        let batch: Int
        /// Messages delivered to all subscribers, a second.
        let delivered: Double

        var description: String {
            let end = delivered > 0 ? ", \(Int(delivered)) delivered/s" : ""
            return "\(Int(rate)) acknowledged/s, \(batch) a commit\(end)"
        }
    }

    /// - Parameter usesLibrary: the subscribers are the client library's, else they only drain their sockets.
    static func measure(
        _ load: Load, subscribers: Int, usesLibrary: Bool = false, eventLoops: Int?, folder: String
    ) async throws -> Result {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let path = "\(folder)/bench-\(UInt32.random(in: 0 ... .max)).db"
        defer {
            for suffix in ["", "-wal", "-shm", ".lock"] { try? FileManager.default.removeItem(atPath: path + suffix) }
        }
        let logger = Logger(label: "benchmark") { _ in SwiftLogNoOpLogHandler() }
        let limits = Limits.defaults
        let store = CountingStore(try Store.open(path: path, limits: limits, logger: logger))
        var configuration = Broker.Configuration()
        configuration.listeners = [ListenerConfiguration(.tcp(host: "127.0.0.1", port: 0))]
        configuration.logger = logger
        if let eventLoops { configuration.eventLoops = eventLoops }
        let broker = try Broker(store: store, configuration: configuration)
        let port = try await broker.listen().first?.address.port ?? 0
        let endpoint = try Endpoint("apus://127.0.0.1:\(port)")
        let delivered = NIOLockedValueBox(0)
        var drains: [any Channel] = []
        var readers: [ApusClient] = []
        for _ in 0..<subscribers {
            if usesLibrary {
                readers.append(try await startSubscriber(endpoint, logger, delivered))
            } else {
                drains.append(try await DrainSubscriber.connect(port: port, count: delivered))
            }
        }
        let result = try await publish(load, endpoint, logger, store, delivered)
        for reader in readers { _ = await reader.close(timeoutMilliseconds: 100) }
        for drain in drains { try? await drain.close().get() }
        try await broker.stop()
        return result
    }

    private static func startSubscriber(
        _ endpoint: Endpoint, _ logger: Logger, _ delivered: NIOLockedValueBox<Int>
    ) async throws -> ApusClient {
        let client = try await connect(endpoint, logger)
        let subscription = try await client.subscribe(["#"])
        Task {
            var count = 0
            for try await case .message in subscription {
                count += 1
                if count % 1_000 == 0 { delivered.withLockedValue { $0 += 1_000 } }
            }
        }
        return client
    }

    private static func connect(_ endpoint: Endpoint, _ logger: Logger) async throws -> ApusClient {
        var configuration = ClientConfiguration(endpoint: endpoint)
        configuration.logger = logger
        return try await ApusClient.connect(configuration)
    }

    private static func publish(
        _ load: Load, _ endpoint: Endpoint, _ logger: Logger, _ store: CountingStore,
        _ delivered: NIOLockedValueBox<Int>
    ) async throws -> Result {
        let batch = min(100, load.inFlight)
        let payload = ByteBuffer(repeating: 0x61, count: load.size)
        var clients: [ApusClient] = []
        for _ in 0..<load.publishers { clients.append(try await connect(endpoint, logger)) }
        let began = NIODeadline.now()
        let end = began + .nanoseconds(Int64(load.seconds * 1e9))
        let acknowledged = try await withThrowingTaskGroup(of: Int.self) { group in
            for (index, client) in clients.enumerated() {
                let messages = (0..<batch).map { _ in
                    OutgoingMessage(topic: "bench/publisher/\(index)", payload: payload)
                }
                for _ in 0..<(load.inFlight / batch) {
                    group.addTask {
                        var count = 0
                        while NIODeadline.now() < end { count += try await client.publish(messages).count }
                        return count
                    }
                }
            }
            return try await group.reduce(0, +)
        }
        let seconds = Double((NIODeadline.now() - began).nanoseconds) / 1e9
        let deliveredRate = Double(delivered.withLockedValue { $0 }) / seconds
        for client in clients { _ = await client.close(timeoutMilliseconds: 1_000) }
        return Result(
            rate: Double(acknowledged) / seconds, batch: acknowledged / max(1, store.commits), delivered: deliveredRate)
    }
}
