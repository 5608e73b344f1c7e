internal import ApusMigrations
internal import ApusModel
internal import GRDB

/// How a file says that it is an Apus log, and of which version.
package enum Schema {
    /// "Apus" in ASCII, in the file's header.
    package static let applicationID: Int64 = 0x4170_7573

    /// The schema's version: how many migrations there are.
    package static var version: Int64 { Int64(Migrations.all.count) }

    /// Measured with 128-byte messages, as microseconds of CPU a message (append and checkpoints) in commits of 4,000
    /// over 16 topics, of 8,000 over 1,000 topics, and as wall-clock microseconds of a synced commit of one message:
    /// 4 KiB: 1.46, 1.57, 202. 8 KiB: 1.20, 1.44, 182. 16 KiB: 1.40, 1.54, 224.
    static let pageBytes = 8_192

    static let migrator: DatabaseMigrator = {
        var migrator = DatabaseMigrator().disablingDeferredForeignKeyChecks()
        for (index, migration) in Migrations.all.enumerated() {
            migrator.registerMigration(migration.name) { db in
                try db.execute(sql: migration.sql)
                try db.execute(sql: "PRAGMA user_version = \(index + 1)")
            }
        }
        return migrator
    }()
}
