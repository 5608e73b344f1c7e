internal import ApusModel
internal import Glibc
internal import Synchronization

/// One broker per log: an exclusive `flock` on a file of its own beside the log, gone with the process.
///
/// Not on the log itself: closing a descriptor of that file would take SQLite's locks away. The file stays when the
/// broker ends. Only a start that is refused takes away what it made; that is safe because whoever gets the lock looks
/// whether the file that it has locked is still the one of that name.
final class FileLock: Sendable {
    private let descriptor: Int32
    private let name: String
    private let isCreated: Bool
    private let isReleased = Atomic(false)

    /// How often a lock file may vanish while it is being locked.
    private static let triesMax = 16

    /// - Throws: `log-locked`, naming the process that has it.
    init(forLogAt path: String) throws(ApusError) {
        let name = path + ".lock"
        for _ in 0..<FileLock.triesMax {
            let opened = try FileLock.openFile(name, path)
            do throws(ApusError) {
                try FileLock.lock(opened.descriptor, name, path)
            } catch {
                close(opened.descriptor)
                throw error
            }
            guard FileLock.isStill(opened.descriptor, name) else {
                close(opened.descriptor)
                continue
            }
            (descriptor, isCreated, self.name) = (opened.descriptor, opened.isNew, name)
            FileLock.writeHolder(descriptor)
            return
        }
        throw ApusError(.logLocked, "\(name) comes and goes: other brokers are being started", hint: "Try again.")
    }

    deinit { release() }

    func release() {
        if !isReleased.exchange(true, ordering: .acquiringAndReleasing) { close(descriptor) }
    }

    /// Releases it, and leaves no file that was not there before. For a start that was refused.
    func withdraw() {
        // Before the lock is let go: nobody else can have it.
        if isCreated, !isReleased.load(ordering: .acquiring) { unlink(name) }
        release()
    }

    private static func openFile(_ name: String, _ path: String) throws(ApusError) -> (descriptor: Int32, isNew: Bool) {
        let new = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
        if new >= 0 { return (new, true) }
        let old = errno == EEXIST ? open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0o644) : new
        guard old >= 0 else { throw FileSystem.failure("cannot lock \(path) with \(name)", errno) }
        return (old, false)
    }

    private static func lock(_ descriptor: Int32, _ name: String, _ path: String) throws(ApusError) {
        guard flock(descriptor, LOCK_EX | LOCK_NB) != 0 else { return }
        guard errno == EWOULDBLOCK else { throw FileSystem.failure("cannot lock \(name)", errno) }
        throw ApusError(
            .logLocked, "\(path) is held by another broker\(holder(descriptor).map { ", process \($0)" } ?? "")",
            hint: "Stop that one first, or name another file with --db.")
    }

    private static func isStill(_ descriptor: Int32, _ name: String) -> Bool {
        var info = stat()
        guard fstat(descriptor, &info) == 0 else { return false }
        return FileIdentity.of(name) == FileIdentity(device: UInt64(info.st_dev), inode: UInt64(info.st_ino))
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
