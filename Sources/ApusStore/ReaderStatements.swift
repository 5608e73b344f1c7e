internal import ApusModel
internal import GRDBSQLite

/// A reader's prepared statements. `wanted` is the SQL function of ``TopicMatcher``: SQLite asks it before it reads the
/// rest of a row, so that rows that are passed over cost little, whatever their payload.
struct ReaderStatements {
    let begin: Statement
    let end: Statement
    let log: Statement
    let bounds: Statement
    let freePages: Statement
    let pageSize: Statement
    let firstAfter: Statement
    let lastUpTo: Statement

    let everything: Statement
    let matching: Statement
    let matchingBackwards: Statement
    let seqsBackwards: Statement
    let one: Statement

    let posting: Statement
    let postingRange: Statement
    let unsealedTopics: Statement
    let topic: Statement
    let topicNamed: Statement
    let topicsWithPrefix: Statement
    let topicsAfter: Statement
    let topicLast: Statement
    let encoding: Statement
    let publisher: Statement
    let retained: Statement
    let retainedOfTopic: Statement

    /// Columns of a whole row; ``StoredRow`` reads them.
    private static let columns =
        "seq, topic, encoding, received_at, publisher, expires_at, headers, key, checksum, payload"

    init(on connection: OpaquePointer) throws(SQLiteFailure) {
        func make(_ sql: String) throws(SQLiteFailure) -> Statement { try Statement(sql, on: connection) }
        let columns = ReaderStatements.columns
        begin = try make("BEGIN")
        end = try make("COMMIT")
        log = try make(
            "SELECT sealed_through, trimmed_through, reserved_through, id, topics, encodings, publishers FROM log")
        bounds = try make("SELECT (SELECT min(seq) FROM message), (SELECT max(seq) FROM message)")
        freePages = try make("PRAGMA freelist_count")
        pageSize = try make("PRAGMA page_size")
        firstAfter = try make("SELECT seq, received_at FROM message WHERE seq > ?1 ORDER BY seq LIMIT 1")
        lastUpTo = try make("SELECT seq, received_at FROM message WHERE seq <= ?1 ORDER BY seq DESC LIMIT 1")
        everything = try make("SELECT \(columns) FROM message WHERE seq > ?1 AND seq <= ?2 ORDER BY seq")
        matching = try make(
            "SELECT \(columns) FROM message WHERE seq > ?1 AND seq <= ?2 AND wanted(topic) ORDER BY seq")
        matchingBackwards = try make(
            "SELECT \(columns) FROM message WHERE seq > ?1 AND seq <= ?2 AND wanted(topic) ORDER BY seq DESC")
        seqsBackwards = try make(
            "SELECT seq FROM message WHERE seq > ?1 AND seq <= ?2 AND wanted(topic) ORDER BY seq DESC")
        one = try make("SELECT \(columns) FROM message WHERE seq = ?1")
        posting = try make("SELECT seqs FROM topic_segment WHERE segment = ?1 AND topic = ?2")
        postingRange = try make(
            """
            SELECT segment, topic, seqs FROM topic_segment
            WHERE segment = ?1 AND topic BETWEEN ?2 AND ?3 ORDER BY topic
            """)
        unsealedTopics = try make("SELECT seq, topic FROM message WHERE seq > ?1 AND seq <= ?2 ORDER BY seq")
        topic = try make("SELECT name FROM topic WHERE id = ?1")
        topicNamed = try make("SELECT id FROM topic WHERE name = ?1")
        topicsWithPrefix = try make("SELECT id, name FROM topic WHERE name >= ?1 AND name < ?2 LIMIT ?3")
        topicsAfter = try make("SELECT id, name FROM topic WHERE id > ?1 ORDER BY id LIMIT ?2")
        topicLast = try make("SELECT max(id) FROM topic")
        encoding = try make(
            "SELECT content_type, charset, content_encoding, byte_order, format FROM encoding WHERE id = ?1")
        publisher = try make("SELECT name FROM publisher WHERE id = ?1")
        retained = try make("SELECT seq, topic FROM retained WHERE seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3")
        retainedOfTopic = try make("SELECT seq FROM retained WHERE topic = ?1")
    }
}

/// The current row of a statement that selects whole rows. Good until its next step.
struct StoredRow {
    let statement: Statement

    var seq: Seq { statement.seq(0) }
    var topic: Int64 { statement.int(1) }
    var encoding: Int64 { statement.int(2) }
    var receivedAt: Int64 { statement.int(3) }
    var publisher: Int64? { statement.isNull(4) ? nil : statement.int(4) }
    /// 0 for never.
    var expiresAt: Int64 { statement.int(5) }
    var headers: UnsafeRawBufferPointer { statement.bytes(6) }
    var key: UnsafeRawBufferPointer { statement.bytes(7) }
    var checksum: Int64 { statement.int(8) }
    var payload: UnsafeRawBufferPointer { statement.bytes(9) }
}
