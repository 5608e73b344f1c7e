internal import ApusModel
internal import GRDBSQLite

/// A prepared statement of SQLite's C interface, kept for the connection's life.
///
/// The hot paths use it instead of GRDB's: binding a slice of an arena without copying it, and no allocation per row.
/// Not Sendable: it belongs to whoever has the connection. It has to go before the connection is closed.
final class Statement {
    private let handle: OpaquePointer
    private let connection: OpaquePointer

    init(_ sql: String, on connection: OpaquePointer) throws(SQLiteFailure) {
        var handle: OpaquePointer?
        let code = sqlite3_prepare_v3(connection, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &handle, nil)
        guard code == SQLITE_OK, let handle else {
            throw SQLiteFailure(code: code, on: connection, doing: "preparing a statement")
        }
        self.handle = handle
        self.connection = connection
    }

    deinit { sqlite3_finalize(handle) }

    // Binding. It can only fail for lack of memory or for values over a gigabyte, which the limits exclude.

    func bind(_ index: Int32, _ value: Int64) { sqlite3_bind_int64(handle, index, value) }
    func bind(_ index: Int32, _ value: Seq) { sqlite3_bind_int64(handle, index, Int64(bitPattern: value)) }
    func bindNull(_ index: Int32) { sqlite3_bind_null(handle, index) }

    func bind(_ index: Int32, _ text: String) {
        sqlite3_bind_text(handle, index, text, -1, unsafeBitCast(-1, to: sqlite3_destructor_type.self))
    }

    /// The bytes are not copied: they have to stay until the statement is reset.
    func bindBlob(_ index: Int32, _ bytes: UnsafeRawBufferPointer) {
        guard let base = bytes.baseAddress, bytes.count > 0 else {
            // A nil pointer would bind NULL; an empty payload is an empty blob.
            sqlite3_bind_zeroblob(handle, index, 0)
            return
        }
        sqlite3_bind_blob64(handle, index, base, UInt64(bytes.count), nil)
    }

    /// Likewise not copied. Must not be empty.
    func bindText(_ index: Int32, _ bytes: UnsafeRawBufferPointer) {
        let base = bytes.baseAddress?.assumingMemoryBound(to: CChar.self)
        sqlite3_bind_text64(handle, index, base, UInt64(bytes.count), nil, UInt8(SQLITE_UTF8))
    }

    // Running

    /// - Returns: whether there is a row.
    func step(_ doing: @autoclosure () -> String) throws(SQLiteFailure) -> Bool {
        let code = sqlite3_step(handle)
        if code == SQLITE_ROW { return true }
        if code == SQLITE_DONE { return false }
        let failure = SQLiteFailure(code: code, on: connection, doing: doing())
        sqlite3_reset(handle)
        throw failure
    }

    func reset() { sqlite3_reset(handle) }

    /// Runs it to its end, for statements that return no rows.
    func run(_ doing: @autoclosure () -> String) throws(SQLiteFailure) {
        while try step(doing()) {}
        sqlite3_reset(handle)
    }

    /// The first row, as `read` sees it.
    func first<T>(_ doing: @autoclosure () -> String, _ read: (Statement) -> T) throws(SQLiteFailure) -> T? {
        defer { sqlite3_reset(handle) }
        return try step(doing()) ? read(self) : nil
    }

    // Columns of the current row; pointers are good until the next step.

    func int(_ column: Int32) -> Int64 { sqlite3_column_int64(handle, column) }
    func seq(_ column: Int32) -> Seq { Seq(bitPattern: sqlite3_column_int64(handle, column)) }
    func isNull(_ column: Int32) -> Bool { sqlite3_column_type(handle, column) == SQLITE_NULL }

    func bytes(_ column: Int32) -> UnsafeRawBufferPointer {
        let base = sqlite3_column_blob(handle, column)
        return UnsafeRawBufferPointer(start: base, count: base == nil ? 0 : Int(sqlite3_column_bytes(handle, column)))
    }

    func text(_ column: Int32) -> String { String(decoding: bytes(column), as: UTF8.self) }
}

/// Runs SQL that returns nothing, outside the hot path.
func execute(_ sql: String, on connection: OpaquePointer, doing: String) throws(SQLiteFailure) {
    let code = sqlite3_exec(connection, sql, nil, nil, nil)
    guard code == SQLITE_OK else { throw SQLiteFailure(code: code, on: connection, doing: doing) }
}
