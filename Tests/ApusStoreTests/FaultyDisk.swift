import Foundation
import GRDBSQLite
import NIOConcurrencyHelpers

/// Counts what SQLite does to the files of one log, and makes it fail. Made with ``FaultyDisk/watch(_:)``.
final class DiskFaults: Sendable {
    enum File: Hashable {
        case database
        case wal
        case journal
    }

    enum Operation: Hashable {
        case write
        case sync
        case read
    }

    /// What an operation does instead of succeeding.
    struct Fault {
        var code: Int32
        /// So many succeed first.
        var after = 0
        /// So many fail; then it is healed.
        var count = Int.max
        /// Half of the bytes of a write arrive all the same; a sync that fails has synced.
        var isPartial = false
        /// What the operating system says.
        var systemError: Int32 = 0
    }

    private struct Key: Hashable {
        let operation: Operation
        let file: File
    }

    private struct State {
        var counts: [Key: Int] = [:]
        var faults: [Key: Fault] = [:]
    }

    private let state = NIOLockedValueBox(State())

    func count(_ operation: Operation, _ file: File) -> Int {
        state.withLockedValue { $0.counts[Key(operation: operation, file: file)] ?? 0 }
    }

    var syncs: Int { count(.sync, .database) + count(.sync, .wal) + count(.sync, .journal) }

    func fail(_ operation: Operation, _ file: File, _ fault: Fault) {
        state.withLockedValue { $0.faults[Key(operation: operation, file: file)] = fault }
    }

    func heal() { state.withLockedValue { $0.faults = [:] } }

    /// Counts the operation.
    /// - Returns: the fault that it meets.
    fileprivate func meet(_ operation: Operation, _ file: File) -> Fault? {
        state.withLockedValue { state in
            let key = Key(operation: operation, file: file)
            state.counts[key, default: 0] += 1
            guard var fault = state.faults[key] else { return nil }
            if fault.after > 0 {
                fault.after -= 1
                state.faults[key] = fault
                return nil
            }
            fault.count -= 1
            state.faults[key] = fault.count > 0 ? fault : nil
            return fault
        }
    }
}

/// A VFS of SQLite that passes everything on to the system's, except what a test wants to see or to break.
///
/// It becomes the process's default, so that the store opens its files through it without knowing; files that no test
/// watches are not touched.
enum FaultyDisk {
    private static let watched = NIOLockedValueBox<[String: DiskFaults]>([:])

    /// Watches the log at `path`. Call it before the log is opened.
    static func watch(_ path: String) -> DiskFaults {
        _ = isInstalled
        let faults = DiskFaults()
        // SQLite opens by real path.
        let real = URL(fileURLWithPath: path).deletingLastPathComponent().resolvingSymlinksInPath()
        watched.withLockedValue { $0[real.appendingPathComponent((path as NSString).lastPathComponent).path] = faults }
        return faults
    }

    /// Bytes of an open file that are ours, before the system's part.
    private static let ownBytes: Int32 = 64

    private struct Own {
        var base: sqlite3_file
        var faults: UnsafeMutableRawPointer?
        var file: Int32
    }

    nonisolated(unsafe) private static let system: UnsafeMutablePointer<sqlite3_vfs> = sqlite3_vfs_find(nil)

    private static let isInstalled: Bool = {
        let vfs = UnsafeMutablePointer<sqlite3_vfs>.allocate(capacity: 1)
        vfs.initialize(to: system.pointee)
        vfs.pointee.pNext = nil
        vfs.pointee.szOsFile = system.pointee.szOsFile + ownBytes
        vfs.pointee.zName = UnsafePointer(strdup("apus-faulty-disk"))
        vfs.pointee.xOpen = { _, name, file, flags, outFlags in FaultyDisk.open(name, file, flags, outFlags) }
        return sqlite3_vfs_register(vfs, 1) == SQLITE_OK
    }()

    private static func open(
        _ name: UnsafePointer<CChar>?, _ file: UnsafeMutablePointer<sqlite3_file>?, _ flags: Int32,
        _ outFlags: UnsafeMutablePointer<Int32>?
    ) -> Int32 {
        guard let file, let inner = inner(file) else { return SQLITE_ERROR }
        inner.pointee.pMethods = nil
        let code = system.pointee.xOpen(system, name, inner, flags, outFlags)
        file.pointee.pMethods = inner.pointee.pMethods == nil ? nil : UnsafePointer(methods)
        own(file) { own in
            own.faults = nil
            own.file = 0
            guard let name else { return }
            let (path, kind) = split(String(cString: name))
            own.file = kind == .wal ? 1 : kind == .journal ? 2 : 0
            if let faults = watched.withLockedValue({ $0[path] }) {
                own.faults = Unmanaged.passUnretained(faults).toOpaque()
            }
        }
        return code
    }

    private static func split(_ name: String) -> (path: String, kind: DiskFaults.File) {
        if name.hasSuffix("-wal") { return (String(name.dropLast(4)), .wal) }
        if name.hasSuffix("-journal") { return (String(name.dropLast(8)), .journal) }
        return (name, .database)
    }

    fileprivate static func inner(_ file: UnsafeMutablePointer<sqlite3_file>?) -> UnsafeMutablePointer<sqlite3_file>? {
        guard let file else { return nil }
        return UnsafeMutableRawPointer(file).advanced(by: Int(ownBytes)).assumingMemoryBound(to: sqlite3_file.self)
    }

    private static func own(_ file: UnsafeMutablePointer<sqlite3_file>, _ body: (inout Own) -> Void) {
        body(&UnsafeMutableRawPointer(file).assumingMemoryBound(to: Own.self).pointee)
    }

    /// Watched files stay in `watched` for the process's life, so the reference is good.
    fileprivate static func meet(
        _ operation: DiskFaults.Operation, _ file: UnsafeMutablePointer<sqlite3_file>?
    ) -> DiskFaults.Fault? {
        guard let file else { return nil }
        var result: DiskFaults.Fault?
        own(file) { own in
            guard let faults = own.faults else { return }
            let kind: DiskFaults.File = own.file == 1 ? .wal : own.file == 2 ? .journal : .database
            result = Unmanaged<DiskFaults>.fromOpaque(faults).takeUnretainedValue().meet(operation, kind)
            if let result { errno = result.systemError }
        }
        return result
    }

    nonisolated(unsafe) private static let methods: UnsafeMutablePointer<sqlite3_io_methods> = {
        let methods = UnsafeMutablePointer<sqlite3_io_methods>.allocate(capacity: 1)
        methods.initialize(to: sqlite3_io_methods())
        methods.pointee.iVersion = 2
        methods.pointee.xClose = { file in passOn { $0.xClose($1) }(file) }
        methods.pointee.xRead = { file, bytes, count, offset in
            if let fault = meet(.read, file) { return fault.code }
            return passOn { $0.xRead($1, bytes, count, offset) }(file)
        }
        methods.pointee.xWrite = { file, bytes, count, offset in
            guard let fault = meet(.write, file) else { return passOn { $0.xWrite($1, bytes, count, offset) }(file) }
            if fault.isPartial { _ = passOn { $0.xWrite($1, bytes, count / 2, offset) }(file) }
            return fault.code
        }
        methods.pointee.xTruncate = { file, size in passOn { $0.xTruncate($1, size) }(file) }
        methods.pointee.xSync = { file, flags in
            guard let fault = meet(.sync, file) else { return passOn { $0.xSync($1, flags) }(file) }
            return fault.code
        }
        methods.pointee.xFileSize = { file, size in passOn { $0.xFileSize($1, size) }(file) }
        methods.pointee.xLock = { file, kind in passOn { $0.xLock($1, kind) }(file) }
        methods.pointee.xUnlock = { file, kind in passOn { $0.xUnlock($1, kind) }(file) }
        methods.pointee.xCheckReservedLock = { file, out in passOn { $0.xCheckReservedLock($1, out) }(file) }
        methods.pointee.xFileControl = { file, op, argument in passOn { $0.xFileControl($1, op, argument) }(file) }
        methods.pointee.xSectorSize = { file in passOn { $0.xSectorSize($1) }(file) }
        methods.pointee.xDeviceCharacteristics = { file in passOn { $0.xDeviceCharacteristics($1) }(file) }
        methods.pointee.xShmMap = { file, page, size, extend, out in
            passOn { $0.xShmMap($1, page, size, extend, out) }(file)
        }
        methods.pointee.xShmLock = { file, offset, count, flags in
            passOn { $0.xShmLock($1, offset, count, flags) }(file)
        }
        methods.pointee.xShmBarrier = { file in
            guard let inner = inner(file), let methods = inner.pointee.pMethods else { return }
            methods.pointee.xShmBarrier(inner)
        }
        methods.pointee.xShmUnmap = { file, delete in passOn { $0.xShmUnmap($1, delete) }(file) }
        return methods
    }()

    /// Calls the system's method on the system's part of the file.
    fileprivate static func passOn(
        _ call: @escaping (sqlite3_io_methods, UnsafeMutablePointer<sqlite3_file>) -> Int32
    ) -> (UnsafeMutablePointer<sqlite3_file>?) -> Int32 {
        { file in
            guard let inner = inner(file), let methods = inner.pointee.pMethods else { return SQLITE_ERROR }
            return call(methods.pointee, inner)
        }
    }
}

/// Extended codes that C defines by expressions.
enum Code {
    static let fsync = SQLITE_IOERR | (4 << 8)
    static let write = SQLITE_IOERR | (3 << 8)
    static let full = SQLITE_FULL
}
