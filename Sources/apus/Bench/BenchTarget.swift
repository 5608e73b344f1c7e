internal import ApusClient
internal import ApusModel

/// The broker that is measured.
struct BenchTarget: Sendable {
    /// For the report.
    let name: String
    let connection: ConnectionOptions
    /// Called once, when everything has been measured.
    let stop: @Sendable () async -> Void

    /// The one place that decides what is measured: the broker that the options name, or the default one where
    /// `connection.namesServer` is false.
    static func open(_ connection: ConnectionOptions) async throws -> BenchTarget {
        BenchTarget(name: try connection.endpoint().description, connection: connection, stop: {})
    }

    func connect() async throws -> ApusClient { try await connection.connect() }
}
