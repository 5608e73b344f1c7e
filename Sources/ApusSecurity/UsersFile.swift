package import ApusModel
internal import Glibc

/// A users file: read as a whole, and replaced as a whole.
package struct UsersFile: Sendable {
    package let path: String

    package init(path: String) { self.path = path }

    /// Beyond it, it is no users file.
    private static let bytesMax = 64 << 20

    // MARK: Reading

    /// - Throws: `input-output` where it cannot be read, `not-allowed` where others may read or write it, `usage` where
    ///   something in it is wrong: with the file's name and, for the last one, the line.
    package func load() throws(ApusError) -> Users {
        guard let (bytes, _) = try read() else { throw failure("cannot read \(path)", ENOENT) }
        return try parse(bytes)
    }

    private func parse(_ bytes: [UInt8]) throws(ApusError) -> Users {
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw ApusError(.usage, "\(path) is not UTF-8")
        }
        return try UsersReader.read(text, path: path)
    }

    /// - Returns: nil where there is no such file.
    private func read() throws(ApusError) -> (bytes: [UInt8], status: stat)? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            if errno == ENOENT { return nil }
            throw failure("cannot read \(path)", errno)
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw failure("cannot read \(path)", errno) }
        try check(status)
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = Self.read(descriptor, &buffer)
            guard count >= 0 else { throw failure("cannot read \(path)", errno) }
            if count == 0 { return (bytes, status) }
            bytes += buffer[..<count]
            guard bytes.count <= UsersFile.bytesMax else {
                throw ApusError(.usage, "\(path) is larger than a users file may be")
            }
        }
    }

    private static func read(_ descriptor: Int32, _ buffer: inout [UInt8]) -> Int {
        buffer.withUnsafeMutableBytes { space in
            Glibc.read(descriptor, space.baseAddress, space.count)
        }
    }

    /// Who may read the file may try passwords at leisure; who may write it is an administrator.
    private func check(_ status: stat) throws(ApusError) {
        guard status.st_mode & S_IFMT == S_IFREG else { throw ApusError(.usage, "\(path) is no file") }
        guard status.st_uid == geteuid() || status.st_uid == 0 else {
            throw ApusError(
                .notAllowed, "\(path) belongs to another user (\(status.st_uid)), who could change it",
                hint: "Run: chown \(geteuid()) \(path)")
        }
        let others = status.st_mode & 0o077
        // As administrators set it up: root writes it, the broker's group reads it.
        if others == 0 || others == 0o040 && status.st_uid == 0 { return }
        throw ApusError(
            .notAllowed,
            "others may read or write \(path), which holds the hashes of passwords (its mode is \(UsersFile.octal(status.st_mode)))",
            hint: "Run: chmod 600 \(path)")
    }

    private static func octal(_ mode: mode_t) -> String {
        let digits = String(mode & 0o777, radix: 8)
        return String(repeating: "0", count: 4 - digits.count) + digits
    }

    // MARK: Changing

    /// Changes the file: one process at a time, and either wholly or not at all. Where `body` throws, nothing changes.
    ///
    /// - Parameter creates: whether a file that is not there is made.
    package func change<Value>(
        creates: Bool = false, _ body: (inout Users) throws(ApusError) -> Value
    ) throws(ApusError) -> Value {
        let place = UsersFile.resolved(path)
        let lock = try UsersLock(path: place + ".lock")
        defer { lock.release() }
        let existing = try read()
        guard existing != nil || creates else {
            throw ApusError(
                .input, "there is no \(path)", hint: "apus user add makes it; --users names another file.")
        }
        let before = try existing.map { (file) throws(ApusError) in try parse(file.bytes) } ?? Users()
        var users = before
        let value = try body(&users)
        try users.checkCertificates()
        if users != before || existing == nil { try replace(place, UsersWriter.text(users), existing?.status) }
        return value
    }

    /// A link stays one: what it leads to is replaced.
    private static func resolved(_ path: String) -> String {
        guard let real = realpath(path, nil) else { return path }
        defer { free(real) }
        return String(cString: real)
    }

    private func replace(_ place: String, _ text: String, _ existing: stat?) throws(ApusError) {
        let folder = UsersFile.folder(of: place)
        let temporary = "\(place).\(Hex.encode(RandomBytes.make(6))).new"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw failure("cannot write into \(folder)", errno) }
        var isOpen = true
        do throws(ApusError) {
            try write(text, to: descriptor)
            if let existing { try keepOwner(existing, descriptor) }
            guard fsync(descriptor) == 0 else { throw failure("cannot write \(place)", errno) }
            isOpen = false
            guard close(descriptor) == 0 else { throw failure("cannot write \(place)", errno) }
            guard rename(temporary, place) == 0 else { throw failure("cannot replace \(place)", errno) }
        } catch {
            if isOpen { close(descriptor) }
            unlink(temporary)
            throw error
        }
        try syncFolder(folder)
    }

    private func write(_ text: String, to descriptor: Int32) throws(ApusError) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { bytes in
                Glibc.write(descriptor, bytes.baseAddress, bytes.count)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw failure("cannot write \(path)", errno) }
            rest = rest.dropFirst(count)
        }
    }

    /// What root set up for the broker's group stays readable for it.
    private func keepOwner(_ status: stat, _ descriptor: Int32) throws(ApusError) {
        guard status.st_uid != geteuid() || status.st_gid != getegid() || status.st_mode & 0o077 != 0 else { return }
        guard fchown(descriptor, status.st_uid, status.st_gid) == 0, fchmod(descriptor, status.st_mode & 0o640) == 0
        else { throw failure("cannot keep owner and mode of \(path)", errno) }
    }

    /// So that the new name is there after a power loss, too.
    private func syncFolder(_ folder: String) throws(ApusError) {
        let descriptor = open(folder, O_RDONLY | O_CLOEXEC | O_DIRECTORY)
        guard descriptor >= 0 else { throw failure("cannot open \(folder)", errno) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw failure("cannot write \(folder)", errno) }
    }

    static func folder(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    private func failure(_ what: String, _ code: Int32) -> ApusError { UsersFile.failure(what, code) }

    static func failure(_ what: String, _ code: Int32) -> ApusError {
        let hint =
            switch code {
            case ENOENT: "apus user add makes a users file."
            case EACCES, EPERM: "Run it as the user whose file it is."
            default: nil as String?
            }
        return ApusError(.input, "\(what): \(String(cString: strerror(code)))", hint: hint)
    }
}

/// Held while a users file is changed. A file of its own, that stays: the users file itself is replaced, and a lock on
/// what was replaced excludes nobody.
private struct UsersLock {
    private let descriptor: Int32

    private static let waitSeconds = 10

    init(path: String) throws(ApusError) {
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw UsersFile.failure("cannot lock \(path)", errno) }
        // A change takes milliseconds; whoever holds it longer is stuck.
        for _ in 0..<(UsersLock.waitSeconds * 100) {
            if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { return }
            guard errno == EWOULDBLOCK || errno == EINTR else { break }
            usleep(10_000)
        }
        close(descriptor)
        throw ApusError(.unavailable, "another process has held \(path) for \(UsersLock.waitSeconds) seconds")
    }

    func release() { close(descriptor) }
}
