internal import ApusModel
internal import GRDBSQLite

/// The writer's prepared statements.
struct WriterStatements {
    let begin: Statement
    let commit: Statement
    let rollback: Statement
    let dataVersion: Statement

    let insertMessage: Statement
    let findTopic: Statement
    let insertTopic: Statement
    let findEncoding: Statement
    let insertEncoding: Statement
    let openPublisher: Statement
    let findPublisher: Statement
    let publisherByID: Statement
    let usePublisher: Statement
    let refusePublisher: Statement
    let retain: Statement
    let unretain: Statement
    let insertPosting: Statement
    let reserve: Statement
    let seal: Statement
    let mark: Statement
    let readLog: Statement
    let newestMessage: Statement
    let unsealed: Statement

    init(on connection: OpaquePointer) throws(SQLiteFailure) {
        func make(_ sql: String) throws(SQLiteFailure) -> Statement { try Statement(sql, on: connection) }
        begin = try make("BEGIN IMMEDIATE")
        commit = try make("COMMIT")
        rollback = try make("ROLLBACK")
        dataVersion = try make("PRAGMA data_version")
        insertMessage = try make(
            """
            INSERT INTO message (seq, topic, encoding, received_at, publisher, publish_id, expires_at, headers, key,
                checksum, payload)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
            """)
        findTopic = try make("SELECT id FROM topic WHERE name = ?1")
        insertTopic = try make("INSERT INTO topic (name) VALUES (?1)")
        findEncoding = try make(
            """
            SELECT id FROM encoding WHERE content_type = ?1 AND charset = ?2 AND content_encoding = ?3
                AND byte_order = ?4 AND format = ?5
            """)
        insertEncoding = try make(
            """
            INSERT INTO encoding (content_type, charset, content_encoding, byte_order, format, media_type,
                text_charset, compression)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
            """)
        openPublisher = try make(
            """
            INSERT INTO publisher (user, name, last_publish_id, used_at) VALUES (?1, ?2, 0, ?3)
            ON CONFLICT (user, name) DO UPDATE SET used_at = excluded.used_at
            """)
        findPublisher = try make("SELECT id, last_publish_id, refused FROM publisher WHERE user = ?1 AND name = ?2")
        publisherByID = try make("SELECT last_publish_id FROM publisher WHERE id = ?1")
        usePublisher = try make("UPDATE publisher SET last_publish_id = ?2, used_at = ?3 WHERE id = ?1")
        refusePublisher = try make("UPDATE publisher SET refused = ?2 WHERE id = ?1")
        retain = try make(
            "INSERT INTO retained (topic, seq) VALUES (?1, ?2) ON CONFLICT (topic) DO UPDATE SET seq = excluded.seq")
        unretain = try make("DELETE FROM retained WHERE topic = ?1")
        // Replaces what an unclean stop in the middle of a segment left.
        insertPosting = try make("INSERT OR REPLACE INTO topic_segment (segment, topic, seqs) VALUES (?1, ?2, ?3)")
        reserve = try make("UPDATE log SET reserved_through = ?1, is_clean = ?2, sync_mark = sync_mark + 1")
        seal = try make("UPDATE log SET sealed_through = ?1")
        mark = try make("UPDATE log SET sync_mark = sync_mark + 1")
        readLog = try make(
            """
            SELECT reserved_through, sealed_through, trimmed_through, topics, encodings, publishers, is_clean, id
            FROM log WHERE one = 1
            """)
        newestMessage = try make("SELECT seq, received_at FROM message ORDER BY seq DESC LIMIT 1")
        unsealed = try make("SELECT seq, topic FROM message WHERE seq > ?1 ORDER BY seq")
    }
}
