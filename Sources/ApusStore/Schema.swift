internal import ApusMigrations
internal import ApusModel
internal import GRDB

/// How a file says that it is an Apus log, and of which version.
package enum Schema {
    /// "Apus" in ASCII, in the file's header.
    package static let applicationID: Int64 = 0x4170_7573

    /// The schema's version: how many migrations there are.
    package static var version: Int64 { Int64(Migrations.all.count) }

    /// 16 KiB. Writer's CPU for 128-byte messages in batches of 4,096, and bytes of WAL per message: see the table in
    /// the tests' measurement; larger pages save tree levels and WAL frame headers, but a commit of one message writes
    /// whole pages.
    static let pageBytes = 4_096

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
