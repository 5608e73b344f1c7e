internal import Glibc

/// Where a log is or will be, looked at from outside.
///
/// Only by name: none of the log's files is opened. A broker holds locks on them.
struct LogPlace: Sendable {
    /// Without symbolic links, as far as it exists.
    let path: String
    let folder: String

    init(_ path: String) {
        let resolved = LogPlace.real(path)
        let whole = resolved ?? path
        let slash = whole.lastIndex(of: "/")
        let named = slash.map { $0 == whole.startIndex ? "/" : String(whole[..<$0]) } ?? "."
        folder = LogPlace.real(named) ?? named
        let name = slash.map { String(whole[whole.index(after: $0)...]) } ?? whole
        self.path = resolved ?? (folder == "/" ? "/\(name)" : "\(folder)/\(name)")
    }

    /// The database, and what SQLite and the broker keep beside it.
    var files: [String] { [path, "\(path)-wal", "\(path)-shm", "\(path).lock"] }

    private static func real(_ path: String) -> String? {
        guard let name = realpath(path, nil) else { return nil }
        defer { free(name) }
        return String(cString: name)
    }

    static func status(_ path: String) -> stat? {
        var status = stat()
        return stat(path, &status) == 0 ? status : nil
    }

    /// The process that runs a broker on this log, found in the system's table of locks: trying the lock would keep a
    /// broker that starts in this moment from having it.
    var brokerProcess: Int? {
        guard let lock = LogPlace.status("\(path).lock"), let table = FileText.read("/proc/locks") else { return nil }
        return LogPlace.holder(of: UInt64(lock.st_ino), in: table)
    }

    /// - Parameter table: lines as `1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF`.
    static func holder(of inode: UInt64, in table: String) -> Int? {
        for line in table.split(separator: "\n") {
            let fields = line.split(separator: " ")
            guard fields.contains("FLOCK"),
                let place = fields.firstIndex(where: { $0.split(separator: ":").count == 3 }),
                place > 0, UInt64(fields[place].split(separator: ":")[2]) == inode
            else { continue }
            return Int(fields[place - 1])
        }
        return nil
    }
}

/// Small text files of the system.
enum FileText {
    static func read(_ path: String) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 16_384)
        while bytes.count < 1 << 20 {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            guard count > 0 else { break }
            bytes += chunk[..<count]
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
