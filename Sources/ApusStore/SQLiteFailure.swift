internal import ApusModel
internal import GRDB
internal import GRDBSQLite

/// What SQLite said no to. Its own type, because what follows depends on the code: see ``WriteStop``.
struct SQLiteFailure: Error, CustomStringConvertible {
    /// SQLite's extended result code.
    let code: Int32
    /// What the operating system said last on this thread. Only means something beside a code that says I/O error.
    let systemError: Int32
    let message: String
    /// What the store was doing.
    let doing: String

    init(code: Int32, systemError: Int32 = 0, message: String, doing: String) {
        self.code = code
        self.systemError = systemError
        self.message = message
        self.doing = doing
    }

    init(code: Int32, on connection: OpaquePointer?, doing: String) {
        // Before anything else can fail. SQLite keeps it for statements, but not for the writes of a COMMIT.
        let systemError = FileSystem.lastError
        let text = connection.flatMap { sqlite3_errmsg($0) }.map { String(cString: $0) }
        self.init(
            code: code, systemError: systemError,
            message: text ?? String(cString: sqlite3_errstr(code)), doing: doing)
    }

    /// From what GRDB throws.
    init(_ error: any Error, doing: String) {
        let database = error as? DatabaseError
        self.init(
            code: database?.extendedResultCode.rawValue ?? SQLITE_ERROR,
            message: database?.message ?? String(describing: error), doing: doing)
    }

    /// SQLITE_IOERR_WRITE, which C defines by an expression that Swift does not import.
    private static let writeError = SQLITE_IOERR | (3 << 8)

    var primary: Int32 { code & 0xFF }

    /// The disk or the quota is full: nothing of the statement was written for good. SQLite reports only ENOSPC so.
    var isFull: Bool { primary == SQLITE_FULL || (code == SQLiteFailure.writeError && systemError == quotaExceeded) }
    var isBusy: Bool { primary == SQLITE_BUSY || primary == SQLITE_LOCKED }
    var isDamage: Bool { primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB }

    var description: String { "\(doing): \(message) (SQLite \(code))" }

    /// As a reader reports it.
    func asError(path: String) -> ApusError {
        if isDamage {
            return ApusError(
                .logDamaged, "\(path) is damaged: \(self)",
                hint: "Copy it and its -wal away, then check it with: sqlite3 FILE 'pragma integrity_check'")
        }
        if isBusy {
            return ApusError(
                .logBusy, "\(path) is locked by another process: \(self)",
                hint: "Close what writes to it; people read it with sqlite3 'file:\(path)?mode=ro'.")
        }
        return ApusError(.input, "\(path): \(self)")
    }
}
