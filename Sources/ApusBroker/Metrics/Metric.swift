/// A metric by name: what it means does not change from one moment to the next. The one place for names and meanings;
/// docs/METRICS.md is made from ``all``.
package struct Metric: Hashable, Sendable {
    package enum Kind: String, Sendable {
        /// Only rises, and starts at 0 with the process.
        case counter
        case gauge
        case histogram
    }

    package let name: String
    package let kind: Kind
    /// What one of it is; empty where it is a mark and no quantity.
    package let unit: String
    package let labels: [String]
    package let help: String

    private init(_ name: String, _ kind: Kind, _ unit: String, labels: [String] = [], _ help: String) {
        self.name = name
        self.kind = kind
        self.unit = unit
        self.labels = labels
        self.help = help
    }
}

extension Metric {
    // Messages and bytes
    package static let messagesIn = Metric(
        "apus_received_messages_total", .counter, "messages", labels: ["door"],
        "Publishes taken from clients. Not all of them are recorded: a commit may refuse some.")
    package static let messagesOut = Metric(
        "apus_delivered_messages_total", .counter, "messages", labels: ["door"],
        "Messages written for subscriptions, live and replayed.")
    package static let bytesIn = Metric(
        "apus_received_bytes_total", .counter, "bytes", labels: ["door"], "Bytes read from clients.")
    package static let bytesOut = Metric(
        "apus_sent_bytes_total", .counter, "bytes", labels: ["door"], "Bytes written to clients.")
    package static let errors = Metric(
        "apus_errors_total", .counter, "errors", labels: ["code"],
        "Errors and refusals told to clients, by their code.")

    // Commits
    package static let commitDuration = Metric(
        "apus_commit_duration_seconds", .histogram, "seconds",
        "How long the commit of a batch of messages took, its fsync included.")
    package static let commitMessages = Metric(
        "apus_commit_messages", .histogram, "messages", "Messages recorded by one commit. Its count is that of commits."
    )
    package static let commitBytes = Metric(
        "apus_commit_bytes", .histogram, "bytes", "What the messages of one commit cost in memory.")
    package static let syncDuration = Metric(
        "apus_fsync_duration_seconds", .histogram, "seconds",
        "How long SQLite's COMMIT with its fsync took, for commits that hold a message to be synced.")

    // What subscriptions do not get
    package static let dropped = Metric(
        "apus_dropped_messages_total", .counter, "messages", labels: ["reason"],
        "Messages that a subscription was told it does not get, for each: expired (past their time to live), trimmed (deleted before it read them)."
    )

    // What is in memory
    package static let uncommittedBytes = Metric(
        "apus_intake_bytes", .gauge, "bytes",
        "Published messages that are not committed yet. At the limit uncommitted-bytes publishers are not read.")
    package static let tailBytes = Metric(
        "apus_tail_bytes", .gauge, "bytes",
        "The newest messages, kept in memory. Event loops share them: this is the largest one's.")
    package static let pageBytes = Metric(
        "apus_page_cache_bytes", .gauge, "bytes", "Pages of the log kept for subscriptions that catch up.")
    package static let receiveBytes = Metric(
        "apus_receive_buffer_bytes", .gauge, "bytes", "Frames that have begun and not ended.")

    // Connections
    package static let connections = Metric(
        "apus_connections", .gauge, "connections", "Connections that are open.")
    package static let connectionsAccepted = Metric(
        "apus_accepted_connections_total", .counter, "connections", "Connections that were accepted.")
    package static let connectionsRefused = Metric(
        "apus_refused_connections_total", .counter, "connections", labels: ["reason"],
        "Connections that did not come in: denied (by a network rule), busy (by a limit), failed-tls (by the handshake)."
    )
    package static let logins = Metric(
        "apus_logins_total", .counter, "logins", labels: ["outcome"],
        "Logins: accepted, refused (wrong in whatever way), busy (too many waited to be looked at).")
    package static let certificates = Metric(
        "apus_certificate_not_after_seconds", .gauge, "seconds", labels: ["listener"],
        "When the first certificate of a listener's chain runs out, since 1970.")
    package static let pausedPublishers = Metric(
        "apus_paused_publishers", .gauge, "connections",
        "Connections that are not read because the intake is full.")
    package static let queries = Metric(
        "apus_queries_total", .counter, "queries", labels: ["select"], "Queries begun, by what they select.")

    // Cursors
    package static let cursors = Metric("apus_cursors", .gauge, "cursors", "Subscriptions that are open.")
    package static let cursorsBehind = Metric(
        "apus_cursors_behind_tail", .gauge, "cursors",
        "Subscriptions that stand behind the tail: they read the log.")
    package static let cursorLag = Metric(
        "apus_cursor_lag_max_messages", .gauge, "messages",
        "How far the subscription that is furthest behind is from the newest message, in seqs.")

    // The log
    package static let logHead = Metric("apus_log_head_seq", .gauge, "seq", "The newest message's seq.")
    package static let logFirst = Metric(
        "apus_log_first_seq", .gauge, "seq", "The oldest message's seq; 0 in an empty log.")
    package static let logBytes = Metric("apus_log_file_bytes", .gauge, "bytes", "Size of the database file.")
    package static let walBytes = Metric(
        "apus_log_wal_bytes", .gauge, "bytes",
        "Size of the write-ahead log's file. It keeps the size that it once had.")
    package static let walUsedBytes = Metric(
        "apus_log_wal_used_bytes", .gauge, "bytes",
        "What of the write-ahead log cannot be written over yet. Beyond the limit wal-pause somebody's reader pins it.")
    package static let walPinned = Metric(
        "apus_log_wal_pinned_seconds", .gauge, "seconds",
        "How long another process's reader has kept the write-ahead log from starting anew; 0 where none does.")
    package static let checkpoint = Metric(
        "apus_log_last_checkpoint_seconds", .gauge, "seconds", "How long the last checkpoint took.")
    package static let busyWaits = Metric(
        "apus_log_busy_waits_total", .counter, "commits", "Commits that waited for another process's lock on the log.")
    package static let busyTime = Metric(
        "apus_log_busy_seconds_total", .counter, "seconds", "How long commits waited for another process's lock.")
    package static let unusedBytes = Metric(
        "apus_log_unused_bytes", .gauge, "bytes", "What of the database file is free for new messages.")
    package static let freeBytes = Metric(
        "apus_log_filesystem_free_bytes", .gauge, "bytes", "What the broker may still write to the log's file system.")
    package static let topics = Metric("apus_topics", .gauge, "topics", "Topics in the log.")
    package static let encodings = Metric("apus_encodings", .gauge, "encodings", "Distinct encodings in the log.")
    package static let publishers = Metric(
        "apus_publishers", .gauge, "names", "Publisher names remembered for deduplication.")
    package static let ready = Metric(
        "apus_ready", .gauge, "", "1 where /readyz says that the broker is ready, else 0.")
    package static let notReady = Metric(
        "apus_not_ready", .gauge, "", labels: ["reason"],
        "1 for each reason that /readyz names; none where the broker is ready.")
    package static let reloadRefused = Metric(
        "apus_reload_refused", .gauge, "", labels: ["file"],
        "1 where the file (configuration, users) had a mistake when it was last read: what was read before is in force. Else 0."
    )

    // The process
    package static let limits = Metric(
        "apus_limit", .gauge, "", labels: ["limit"], "The limits in force, by name, each in its own unit.")
    package static let build = Metric(
        "apus_build_info", .gauge, "", labels: ["version", "sqlite"], "Always 1: the versions are in the labels.")
    package static let resident = Metric(
        "process_resident_memory_bytes", .gauge, "bytes", "Memory of the process that is in RAM.")
    package static let cpu = Metric(
        "process_cpu_seconds_total", .counter, "seconds", "CPU time that the process has used.")
    package static let descriptors = Metric(
        "process_open_fds", .gauge, "descriptors", "File descriptors that are open. Each connection needs one.")
    package static let descriptorsMax = Metric(
        "process_max_fds", .gauge, "descriptors", "File descriptors that the process may have.")
    package static let started = Metric(
        "process_start_time_seconds", .gauge, "seconds", "When the broker started, in seconds since 1970 UTC.")

    /// In the order in which they are shown.
    package static let all: [Metric] = [
        messagesIn, messagesOut, bytesIn, bytesOut, errors, dropped, commitDuration, commitMessages, commitBytes,
        syncDuration,
        uncommittedBytes, tailBytes, pageBytes, receiveBytes, connections, connectionsAccepted, connectionsRefused,
        logins, certificates, pausedPublishers, queries, cursors, cursorsBehind, cursorLag, logHead, logFirst,
        logBytes, unusedBytes, walBytes, walUsedBytes, walPinned, checkpoint, busyWaits, busyTime, freeBytes, topics,
        encodings, publishers, ready, notReady, reloadRefused, limits, build, resident, cpu, descriptors,
        descriptorsMax, started,
    ]
}
