-- The log of an Apus broker.
--
-- Read it with any SQLite, also while the broker runs: sqlite3 'file:apus.db?mode=ro' 'select * from history'
-- Please only read: another writer locks the broker out, and what it changes is not announced to anybody.
--
-- Tables have singular names and are the broker's; views have plural ones and are for people.
-- Times are microseconds since 1970 UTC. Numbers called seq are positions in the log: they only ever grow, and some
-- are missing, because the broker reserves them ahead and never uses one twice.

-- What the broker knows about the log as a whole. One row.
CREATE TABLE log (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    id TEXT NOT NULL,                   -- random; another one after a fork, a restore or an import
    created_at INTEGER NOT NULL,
    reserved_through INTEGER NOT NULL,  -- no seq up to here is handed out again
    sealed_through INTEGER NOT NULL,    -- topic_segment speaks for every message up to here
    trimmed_through INTEGER NOT NULL,   -- messages up to here have been deleted
    is_clean INTEGER NOT NULL,          -- 1 while no broker has the file open, and the last one closed it properly
    sync_mark INTEGER NOT NULL,         -- changed where a commit must reach the disk although it adds nothing else
    topics INTEGER NOT NULL,            -- rows of topic, encoding and publisher, so that nobody has to count them
    encodings INTEGER NOT NULL,
    publishers INTEGER NOT NULL
) STRICT;

-- One row per message.
CREATE TABLE message (
    seq INTEGER PRIMARY KEY,
    topic INTEGER NOT NULL,             -- topic.id
    encoding INTEGER NOT NULL,          -- encoding.id
    received_at INTEGER NOT NULL,       -- never less than that of the message before
    publisher INTEGER,                  -- publisher.id, where it publishes under a name
    publish_id INTEGER,                 -- the number that the publisher gave it
    expires_at INTEGER,                 -- null: never
    headers TEXT,                       -- JSON: an object, or an array of pairs where a name repeats
    key TEXT,
    checksum INTEGER NOT NULL,          -- CRC-32C of topic, encoding, seq, time, headers, key and payload
    payload BLOB NOT NULL
) STRICT;

-- Names that messages refer to. AUTOINCREMENT: an id is never used for another name.
CREATE TABLE topic (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE encoding (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- As declared by the publisher; an empty text stands for "not declared", so that UNIQUE tells them apart.
    content_type TEXT NOT NULL,
    charset TEXT NOT NULL,
    content_encoding TEXT NOT NULL,
    byte_order TEXT NOT NULL,
    format TEXT NOT NULL,
    -- As the broker understands it.
    media_type TEXT,
    text_charset TEXT,
    compression TEXT,
    UNIQUE (content_type, charset, content_encoding, byte_order, format)
) STRICT;

-- Publishers that asked for deduplication: what they send again after last_publish_id is new, the rest is known.
CREATE TABLE publisher (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user TEXT NOT NULL,
    name TEXT NOT NULL,
    last_publish_id INTEGER NOT NULL,
    used_at INTEGER NOT NULL,
    -- Of the ids up to last_publish_id those that were refused for good, the newest ones: '5-7:not-allowed 9-9:too-many'
    refused TEXT NOT NULL DEFAULT '',
    UNIQUE (user, name)
) STRICT;

CREATE TRIGGER topic_added AFTER INSERT ON topic BEGIN UPDATE log SET topics = topics + 1; END;
CREATE TRIGGER topic_removed AFTER DELETE ON topic BEGIN UPDATE log SET topics = topics - 1; END;
CREATE TRIGGER encoding_added AFTER INSERT ON encoding BEGIN UPDATE log SET encodings = encodings + 1; END;
CREATE TRIGGER encoding_removed AFTER DELETE ON encoding BEGIN UPDATE log SET encodings = encodings - 1; END;
CREATE TRIGGER publisher_added AFTER INSERT ON publisher BEGIN UPDATE log SET publishers = publishers + 1; END;
CREATE TRIGGER publisher_removed AFTER DELETE ON publisher BEGIN UPDATE log SET publishers = publishers - 1; END;

-- Which messages of a segment (16,384 consecutive seqs: seq / 16384) have a topic. Written when the segment is full,
-- so that no insert ever touches the middle of an index.
CREATE TABLE topic_segment (
    segment INTEGER NOT NULL,
    topic INTEGER NOT NULL,
    seqs BLOB NOT NULL,                 -- ascending (seq % 16384), each less the one before, as LEB128 varints
    PRIMARY KEY (segment, topic)
) STRICT, WITHOUT ROWID;

-- The message that a new subscriber of a topic gets first.
CREATE TABLE retained (
    topic INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX retained_seq ON retained (seq);

-- What was lost on purpose: who did not get which messages, and why.
CREATE TABLE loss (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    topic TEXT,
    from_seq INTEGER NOT NULL,
    through_seq INTEGER NOT NULL,
    messages INTEGER NOT NULL,
    reason TEXT NOT NULL
) STRICT;

-- Every message, readable. `text` is the payload where its encoding says that it is UTF-8 text, else null.
CREATE VIEW history AS
SELECT
    m.seq AS seq,
    strftime('%Y-%m-%dT%H:%M:%S', m.received_at / 1000000, 'unixepoch')
        || printf('.%06dZ', m.received_at % 1000000) AS time,
    t.name AS topic,
    nullif(e.content_type, '') AS content_type,
    nullif(e.charset, '') AS charset,
    nullif(e.content_encoding, '') AS content_encoding,
    nullif(e.byte_order, '') AS byte_order,
    p.name AS publisher,
    m.headers AS headers,
    length(m.payload) AS size,
    CASE WHEN e.text_charset IN ('utf-8', 'us-ascii') AND e.compression IS NULL
        THEN CAST(m.payload AS TEXT) END AS text,
    m.payload AS payload
FROM message m
JOIN topic t ON t.id = m.topic
JOIN encoding e ON e.id = m.encoding
LEFT JOIN publisher p ON p.id = m.publisher;

-- Every topic that has messages. Reads the whole log.
CREATE VIEW topics AS
SELECT
    t.name AS topic,
    c.messages AS messages,
    c.last_seq AS last_seq,
    strftime('%Y-%m-%dT%H:%M:%S', c.last_at / 1000000, 'unixepoch')
        || printf('.%06dZ', c.last_at % 1000000) AS last_time
FROM (
    SELECT topic, count(*) AS messages, max(seq) AS last_seq, max(received_at) AS last_at FROM message GROUP BY topic
) c
JOIN topic t ON t.id = c.topic;

CREATE VIEW drops AS
SELECT
    id,
    strftime('%Y-%m-%dT%H:%M:%S', at / 1000000, 'unixepoch') || printf('.%06dZ', at % 1000000) AS time,
    who, topic, from_seq, through_seq, messages, reason
FROM loss;
