internal import ApusModel
internal import GRDB
internal import GRDBSQLite

/// The file of the log: what it is, and connections to it.
struct LogFile {
    /// Absolute, without links.
    let path: String

    var walPath: String { path + "-wal" }
    var shmPath: String { path + "-shm" }
    var journalPath: String { path + "-journal" }

    enum State: Equatable {
        /// Nothing there, an empty file, or a creation that was interrupted before its first table.
        case blank
        /// Of a schema that this program knows.
        case log(version: Int64)
    }

    /// Says what the file is, through a connection that cannot change it.
    ///
    /// - Parameter use: nil takes one that leaves nothing beside the file, where that says all.
    /// - Throws: `log-foreign`, `log-newer`, `log-damaged`, `input-output`.
    func examine(_ schema: Schema, through use: Use? = nil) throws(ApusError) -> State {
        switch try FileSystem.kind(of: path) {
        case .nothing: return .blank
        case .file(let bytes): if bytes == 0 { return .blank }
        case .directory, .other:
            throw ApusError(
                .logForeign, "\(path) is not a file", hint: "Name a file with --db; it is created where there is none.")
        }
        let identity = try identity(through: use ?? (isWhole ? .readImmutable : .examine))
        if identity.application == 0, identity.version == 0, identity.tables == 0 { return .blank }
        guard identity.application == Schema.applicationID else {
            throw ApusError(
                .logForeign, "\(path) is an SQLite database, but not a log of Apus",
                hint: "It is left as it is. Name another file with --db.")
        }
        guard identity.version >= 0 else {
            throw ApusError(
                .logDamaged, "\(path) is damaged: its schema has the version \(identity.version)",
                hint: "Restore the file from a copy.")
        }
        guard identity.version <= schema.version else { throw newer(identity.version, schema) }
        return .log(version: identity.version)
    }

    /// Nothing stands beside the file that belongs to it. Then it can be read without its shared memory, which reading
    /// would leave there.
    private var isWhole: Bool { FileSystem.bytes(of: walPath) == 0 && FileSystem.bytes(of: journalPath) == 0 }

    private func newer(_ version: Int64, _ schema: Schema) -> ApusError {
        let what = "\(path) has schema version \(version), this program knows \(schema.version) at most"
        guard let copy = UpgradeCopy.lying(besideLogAt: path, through: schema.version) else {
            return ApusError(.logNewer, what, hint: "Use the newer Apus that wrote it.")
        }
        return ApusError(
            .logNewer, what,
            hint:
                "Use the newer Apus that wrote it. To go back to this one, move the file away, with its -wal and -shm, "
                + "and put its copy from before the upgrade in its place: \(copy). It lacks what was recorded since.")
    }

    /// The log's random id, without changing anything; nil where it is no log.
    func logID() throws(ApusError) -> String? {
        do {
            let queue = try connect(isWhole ? .readImmutable : .examine)
            defer { try? queue.close() }
            return try queue.unsafeRead { try String.fetchOne($0, sql: "SELECT id FROM log") }
        } catch {
            let failure = SQLiteFailure(error, doing: "reading the log's id")
            if failure.primary == SQLITE_NOTADB || failure.primary == SQLITE_ERROR { return nil }
            throw opening(failure)
        }
    }

    private struct Identity {
        var application: Int64
        var version: Int64
        var tables: Int64
    }

    private func identity(through use: Use) throws(ApusError) -> Identity {
        do {
            let queue = try connect(use)
            defer { try? queue.close() }
            return try queue.unsafeRead { db in
                Identity(
                    application: try Int64.fetchOne(db, sql: "PRAGMA application_id") ?? 0,
                    version: try Int64.fetchOne(db, sql: "PRAGMA user_version") ?? 0,
                    tables: try Int64.fetchOne(db, sql: "SELECT count(*) FROM sqlite_master") ?? 0)
            }
        } catch {
            let failure = SQLiteFailure(error, doing: "reading the file's header")
            if failure.primary == SQLITE_NOTADB {
                throw ApusError(
                    .logForeign, "\(path) is not an SQLite database, so it is no log of Apus",
                    hint: "It is left as it is. Name another file with --db, or restore this one from a copy.")
            }
            throw opening(failure)
        }
    }

    /// What a connection is for decides how it is set up.
    enum Use: Equatable {
        case examine
        case write(busyMilliseconds: Int)
        case read
        /// The file cannot change and has no write-ahead log: the only way to read it where nothing can be written.
        case readImmutable
    }

    func connect(_ use: Use) throws -> DatabaseQueue {
        var configuration = Configuration()
        configuration.foreignKeysEnabled = false
        // A transaction left open by a failed rollback stops the store; GRDB would stop the process.
        configuration.allowsUnsafeTransactions = true
        configuration.label = "apus.log"
        var name = path
        switch use {
        case .examine:
            configuration.readonly = true
            configuration.busyMode = .timeout(5)
        case .write(let milliseconds):
            configuration.busyMode = .timeout(Double(milliseconds) / 1_000)
        case .read:
            configuration.readonly = true
            configuration.busyMode = .timeout(5)
            configuration.prepareDatabase { try $0.execute(sql: "PRAGMA query_only = 1; PRAGMA mmap_size = 0") }
        case .readImmutable:
            configuration.readonly = true
            name = "file:" + LogFile.escaped(path) + "?immutable=1"
        }
        return try DatabaseQueue(path: name, configuration: configuration)
    }

    private static func escaped(_ path: String) -> String {
        let digits = Array("0123456789ABCDEF".utf8)
        var out: [UInt8] = []
        for byte in path.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "/"), UInt8(ascii: "."), UInt8(ascii: "-"),
                UInt8(ascii: "_"):
                out.append(byte)
            default: out += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: out, as: UTF8.self)
    }

    /// An error of opening, in words that say what to do.
    func opening(_ failure: SQLiteFailure) -> ApusError {
        switch failure.primary {
        case SQLITE_CANTOPEN, SQLITE_READONLY, SQLITE_PERM:
            return ApusError(
                .input, "cannot open \(path): \(failure)",
                hint: "The broker needs to read and write the file and its directory.")
        case SQLITE_FULL:
            return ApusError(.storageFull, "cannot open \(path): \(failure)", hint: "Make room on the disk.")
        default: return failure.asError(path: path)
        }
    }
}
