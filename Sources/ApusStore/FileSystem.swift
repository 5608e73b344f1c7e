internal import ApusModel
internal import Glibc

let quotaExceeded = EDQUOT

/// Device and inode: what a path stands for now.
struct FileIdentity: Hashable {
    let device: UInt64
    let inode: UInt64

    /// nil where there is no file.
    static func of(_ path: String) -> FileIdentity? {
        var info = stat()
        guard stat(path, &info) == 0 else { return nil }
        return FileIdentity(device: UInt64(info.st_dev), inode: UInt64(info.st_ino))
    }
}

/// What is at a path, before SQLite looks into it. Only names are looked up: nothing but SQLite opens the log, because
/// closing any descriptor of a file takes away the locks that SQLite holds on it in the same process.
enum FileSystem {
    enum Kind {
        case nothing
        case file(bytes: Int)
        case directory
        case other
    }

    static func kind(of path: String) throws(ApusError) -> Kind {
        var info = stat()
        guard stat(path, &info) == 0 else {
            if errno == ENOENT { return .nothing }
            throw failure("cannot look at \(path)", errno)
        }
        switch info.st_mode & S_IFMT {
        case S_IFREG: return .file(bytes: Int(info.st_size))
        case S_IFDIR: return .directory
        default: return .other
        }
    }

    /// `errno`. It has to be cleared before what is asked about.
    static var lastError: Int32 {
        get { errno }
        set { errno = newValue }
    }

    static func bytes(of path: String) -> Int {
        if case .file(let bytes)? = try? kind(of: path) { bytes } else { 0 }
    }

    /// Absolute, without symbolic links, also for a file that does not exist yet: two names of one file have one lock.
    static func realPath(_ path: String, linksMax: Int = 16) throws(ApusError) -> String {
        if let resolved = resolve(path) { return resolved }
        guard errno == ENOENT else { throw failure("cannot find \(path)", errno) }
        if let target = linkTarget(path), linksMax > 0 {
            return try realPath(
                target.hasPrefix("/") ? target : directory(of: path) + "/" + target, linksMax: linksMax - 1)
        }
        guard let directory = resolve(directory(of: path)) else {
            throw ApusError(
                .input, "the directory of \(path) does not exist",
                hint: "Create it, or name another file with --db.")
        }
        let name = String(path.split(separator: "/").last ?? "")
        return directory == "/" ? "/" + name : directory + "/" + name
    }

    private static func resolve(_ path: String) -> String? {
        guard let resolved = realpath(path, nil) else { return nil }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    private static func linkTarget(_ path: String) -> String? {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(PATH_MAX)) { buffer in
            guard let base = buffer.baseAddress else { return nil }
            let length = readlink(path, base, buffer.count)
            guard length > 0 else { return nil }
            return String(decoding: UnsafeRawBufferPointer(start: base, count: length), as: UTF8.self)
        }
    }

    static func directory(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    /// Makes a new file's name durable: SQLite syncs the file, not its directory entry.
    static func syncDirectory(of path: String) throws(ApusError) {
        let descriptor = open(directory(of: path), O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure("cannot open the directory of \(path)", errno) }
        defer { close(descriptor) }
        // Some file systems cannot sync a directory, and say so with EINVAL: then there is nothing to do.
        guard fsync(descriptor) == 0 || errno == EINVAL else {
            throw failure("cannot sync the directory of \(path)", errno)
        }
    }

    static func failure(_ what: String, _ code: Int32) -> ApusError {
        let reason = strerror(code).map { String(cString: $0) } ?? "error \(code)"
        switch code {
        case EACCES, EPERM:
            return ApusError(
                .input, "\(what): \(reason)",
                hint: "The broker needs to read and write the file and its directory.")
        case EROFS:
            return ApusError(
                .input, "\(what): \(reason)",
                hint: "A broker needs a writable file system; history --db reads a log on a read-only one.")
        default: return ApusError(.input, "\(what): \(reason)")
        }
    }
}

/// `read(2)`, for places where the name means something else.
func systemRead(_ descriptor: Int32, _ buffer: UnsafeMutableRawPointer?, _ count: Int) -> Int {
    read(descriptor, buffer, count)
}
