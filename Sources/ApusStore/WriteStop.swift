internal import ApusModel

/// Why a write did not happen, by what follows.
enum WriteStop: Error {
    /// Rolled back; the log is as it was, and the next write may succeed.
    case refused(ApusError)
    /// Nobody knows what is on the disk: nothing is acknowledged, and the broker stops.
    case fatal(ApusError)
}

extension WriteStop {
    static func storageFull(path: String, _ failure: SQLiteFailure) -> WriteStop {
        .refused(
            ApusError(
                .storageFull, "the disk of \(path) is full: \(failure)",
                hint: "Make room; nothing was recorded, publish it again then."))
    }

    static func busy(path: String, seconds: Int) -> WriteStop {
        .refused(
            ApusError(
                .logBusy, "another process has locked \(path) for more than \(seconds) s",
                hint: "End its transaction; people read the log with sqlite3 'file:\(path)?mode=ro'."))
    }

    static func unknown(path: String, _ failure: SQLiteFailure) -> WriteStop {
        .fatal(unknown(path: path, "\(failure)"))
    }

    static func unknown(path: String, _ what: String) -> ApusError {
        .fatal(
            .commitUnknown, "whether the last messages are in \(path) is not known: \(what)",
            hint: "The broker stops; its next start checks the log. Named publishers send again without duplicates.")
    }
}
