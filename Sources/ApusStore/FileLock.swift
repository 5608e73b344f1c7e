internal import ApusModel
internal import Synchronization

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// One broker per log: an exclusive `flock` on a file of its own beside the log, gone with the process.
///
/// Not on the log itself: closing a descriptor of that file would take SQLite's locks away. The file stays when the
/// broker ends: removing it would let a second broker lock the old inode and a third one the new.
final class FileLock: Sendable {
    private let descriptor: Int32
    private let isReleased = Atomic(false)

    /// - Throws: `log-locked`, naming the process that has it.
    init(forLogAt path: String) throws(ApusError) {
        let name = path + ".lock"
        let descriptor = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw FileSystem.failure("cannot lock \(path) with \(name)", errno) }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let code = errno
            let holder = FileLock.holder(descriptor)
            close(descriptor)
            guard code == EWOULDBLOCK else { throw FileSystem.failure("cannot lock \(name)", code) }
            throw ApusError(
                .logLocked, "\(path) is held by another broker\(holder.map { ", process \($0)" } ?? "")",
                hint: "Stop that one first, or name another file with --db.")
        }
        self.descriptor = descriptor
        FileLock.writeHolder(descriptor)
    }

    deinit { release() }

    func release() {
        if !isReleased.exchange(true, ordering: .acquiringAndReleasing) { close(descriptor) }
    }

    private static func holder(_ descriptor: Int32) -> Int? {
        withUnsafeTemporaryAllocation(byteCount: 32, alignment: 1) { buffer in
            let count = pread(descriptor, buffer.baseAddress, buffer.count, 0)
            guard count > 0 else { return nil }
            return Int(String(decoding: buffer[..<count], as: UTF8.self).prefix { $0.isNumber })
        }
    }

    /// For the message above only; a disk too full for it is no reason not to start.
    private static func writeHolder(_ descriptor: Int32) {
        guard ftruncate(descriptor, 0) == 0 else { return }
        let text = Array("\(getpid())\n".utf8)
        _ = text.withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, 0) }
    }
}
