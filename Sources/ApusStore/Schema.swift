internal import ApusMigrations
internal import ApusModel

/// How a file says that it is an Apus log, and of which version.
package struct Schema: Sendable {
    /// "Apus" in ASCII, in the file's header.
    package static let applicationID: Int64 = 0x4170_7573

    /// What this program reads and writes.
    package static let current = Schema(migrations: Migrations.all)

    /// In their order. The first one makes a log out of nothing, each later one changes what the one before left.
    let migrations: [(name: String, sql: String)]

    /// - Parameter migrations: another list than ``current`` has is for tests of upgrading.
    package init(migrations: [(name: String, sql: String)]) { self.migrations = migrations }

    /// How many migrations there are: the file's header has the number of those that it has been through.
    package var version: Int64 { Int64(migrations.count) }

    /// Measured with 128-byte messages, as microseconds of CPU a message (append and checkpoints) in commits of 4,000
    /// over 16 topics, of 8,000 over 1,000 topics, and as wall-clock microseconds of a synced commit of one message:
    /// 4 KiB: 1.46, 1.57, 202. 8 KiB: 1.20, 1.44, 182. 16 KiB: 1.40, 1.54, 224.
    static let pageBytes = 8_192
}
