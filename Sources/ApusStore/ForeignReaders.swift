internal import ApusModel
internal import Glibc

/// Which other processes hold locks on the log's shared memory, that is, read it right now. For the log only.
enum ForeignReaders {
    static func holding(_ shmPath: String) -> [Int] {
        guard let identity = FileIdentity.of(shmPath), let table = read("/proc/locks") else { return [] }
        var processes: Set<Int> = []
        for line in table.split(separator: "\n") {
            // 1: POSIX  ADVISORY  READ 1234 08:01:5678 120 120
            let fields = line.split(separator: " ")
            guard let place = fields.firstIndex(where: { $0.split(separator: ":").count == 3 }), place > 0,
                place < fields.count, let process = Int(fields[place - 1]),
                let inode = fields[place].split(separator: ":").last.flatMap({ UInt64($0) })
            else { continue }
            if inode == identity.inode, process != Int(getpid()) { processes.insert(process) }
        }
        return processes.sorted()
    }

    private static func read(_ path: String) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 16_384)
        while bytes.count < 1 << 20 {
            let count = chunk.withUnsafeMutableBytes { systemRead(descriptor, $0.baseAddress, $0.count) }
            guard count > 0 else { break }
            bytes += chunk[..<count]
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
