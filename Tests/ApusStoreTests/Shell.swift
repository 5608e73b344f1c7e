import GRDBSQLite

/// Another connection to the file, as `sqlite3` at somebody's prompt has it.
final class Shell {
    private var connection: OpaquePointer?

    init(_ path: String, isReadOnly: Bool = false) throws {
        let flags = isReadOnly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
        let code = sqlite3_open_v2(path, &connection, flags, nil)
        guard code == SQLITE_OK else { throw Unexpected("open: \(code)") }
    }

    /// The rows, each column as text.
    @discardableResult
    func run(_ sql: String) throws -> [[String?]] {
        var statement: OpaquePointer?
        var rows: [[String?]] = []
        guard sqlite3_prepare_v2(connection, sql, -1, &statement, nil) == SQLITE_OK else {
            throw Unexpected(String(cString: sqlite3_errmsg(connection)))
        }
        defer { sqlite3_finalize(statement) }
        while true {
            let code = sqlite3_step(statement)
            if code == SQLITE_DONE { return rows }
            guard code == SQLITE_ROW else { throw Unexpected(String(cString: sqlite3_errmsg(connection))) }
            rows.append(
                (0..<sqlite3_column_count(statement)).map { column in
                    sqlite3_column_text(statement, column).map { String(cString: $0) }
                })
        }
    }

    func close() {
        sqlite3_close(connection)
        connection = nil
    }

    deinit { sqlite3_close(connection) }
}
