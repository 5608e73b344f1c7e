internal import ApusMigrations
internal import ApusModel
internal import Foundation
internal import GRDB
internal import GRDBSQLite
internal import NIOCore

/// What SQLite alone does: one thread, the same schema, the same rows, the same number of them a commit, FULL.
enum PlainLoop {
    /// - Returns: rows a second.
    static func measure(batch: Int, size: Int, seconds: Double, folder: String) throws -> Double {
        let path = "\(folder)/plain-\(UInt32.random(in: 0 ... .max)).db"
        defer { for suffix in ["", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: path + suffix) } }
        let queue = try DatabaseQueue(path: path)
        return try queue.inDatabase { db in
            try db.execute(sql: "PRAGMA page_size=8192; PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL")
            for migration in Migrations.all { try db.execute(sql: migration.sql) }
            try db.execute(sql: "PRAGMA wal_autocheckpoint=0; PRAGMA synchronous=FULL")
            return try loop(db, batch: max(1, batch), payload: [UInt8](repeating: 0x61, count: size), seconds: seconds)
        }
    }

    private static func loop(_ db: Database, batch: Int, payload: [UInt8], seconds: Double) throws -> Double {
        let insert = try db.makeStatement(
            sql: "INSERT INTO message(seq, topic, encoding, received_at, checksum, payload) VALUES (?, 1, 1, ?, ?, ?)")
        let raw = insert.sqliteStatement
        let began = NIODeadline.now()
        let end = began + .nanoseconds(Int64(seconds * 1e9))
        var seq: Int64 = 0
        var checkpointed: Int64 = 0
        while NIODeadline.now() < end {
            try db.execute(sql: "BEGIN IMMEDIATE")
            payload.withUnsafeBytes { bytes in
                for _ in 0..<batch {
                    seq += 1
                    sqlite3_bind_int64(raw, 1, seq)
                    sqlite3_bind_int64(raw, 2, 1_700_000_000_000_000 + seq)
                    sqlite3_bind_int64(raw, 3, Int64(Checksum.of(bytes)))
                    sqlite3_bind_blob64(raw, 4, bytes.baseAddress, UInt64(bytes.count), nil)
                    sqlite3_step(raw)
                    sqlite3_reset(raw)
                }
            }
            try db.execute(sql: "COMMIT")
            // As the broker does: between commits, every 8 MiB or so.
            if (seq - checkpointed) * Int64(payload.count + 40) > 8 << 20 {
                checkpointed = seq
                try db.checkpoint(.passive)
            }
        }
        return Double(seq) / (Double((NIODeadline.now() - began).nanoseconds) / 1e9)
    }
}
