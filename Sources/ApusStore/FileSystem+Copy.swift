internal import ApusModel
internal import Glibc

// Files beside the log. Never the log itself: see FileSystem.
extension FileSystem {
    /// Bytes that may still be written beside `path`; nil where the file system does not say.
    static func freeBytes(beside path: String) -> Int? {
        var info = statvfs()
        guard statvfs(directory(of: path), &info) == 0 else { return nil }
        let (bytes, overflow) = UInt64(info.f_bavail).multipliedReportingOverflow(by: UInt64(info.f_frsize))
        return overflow ? .max : Int(clamping: bytes)
    }

    /// A new, empty file with the owner and the permissions of another: a copy is readable by nobody else.
    static func createCopy(_ path: String, like original: String) throws(ApusError) {
        var info = stat()
        guard stat(original, &info) == 0 else { throw failure("cannot look at \(original)", errno) }
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw failure("cannot create \(path)", errno) }
        defer { close(descriptor) }
        // Where the owner cannot be had, nobody but the creator gets anything.
        let hasOwner = fchown(descriptor, info.st_uid, info.st_gid) == 0
        guard fchmod(descriptor, info.st_mode & (hasOwner ? 0o777 : 0o700)) == 0 else {
            throw failure("cannot set the permissions of \(path)", errno)
        }
    }

    static func sync(_ path: String) throws(ApusError) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure("cannot open \(path)", errno) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw failure("cannot sync \(path)", errno) }
    }

    static func rename(_ path: String, to new: String) throws(ApusError) {
        guard systemRename(path, new) == 0 else { throw failure("cannot rename \(path) to \(new)", errno) }
    }

    /// Also where there is none.
    static func remove(_ path: String) throws(ApusError) {
        guard unlink(path) == 0 || errno == ENOENT else { throw failure("cannot remove \(path)", errno) }
    }
}

private func systemRename(_ path: String, _ new: String) -> Int32 { rename(path, new) }
