internal import GRDBSQLite

/// The SQLite that the broker would use.
enum SQLiteCheck {
    static func check() -> [Finding] {
        var options: Set<String> = []
        var index: Int32 = 0
        while let option = sqlite3_compileoption_get(index) {
            options.insert(String(cString: option))
            index += 1
        }
        return [
            judge(
                number: Int(sqlite3_libversion_number()), name: String(cString: sqlite3_libversion()), options: options)
        ]
    }

    private static let oldest = 3_037_000
    /// A second connection that writes or checkpoints could lose a reset of the write-ahead log.
    private static let walReset = 3_007_000...3_051_002

    static func judge(number: Int, name: String, options: Set<String>) -> Finding {
        let found = "SQLite \(name)"
        if number < oldest {
            return .problem("sqlite", found, "Install SQLite 3.37 or newer.")
        }
        if options.contains("THREADSAFE=0") || options.contains("OMIT_WAL") {
            return .problem(
                "sqlite", "\(found), built without threads or without a write-ahead log",
                "Install the system's own package: libsqlite3-0.")
        }
        guard walReset.contains(number) else { return .ok("sqlite", found) }
        return .ok(
            "sqlite",
            "\(found). It has the WAL-reset bug, which needs two writing connections: the broker has one. "
                + "Others open the log with mode=ro.")
    }
}
