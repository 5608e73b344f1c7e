internal import CLinux
internal import Glibc

/// What file system the log is on, and how much room there is.
enum DiskCheck {
    static func check(_ log: LogPlace) -> [Finding] {
        var system = statfs()
        guard statfs(log.folder, &system) == 0 else {
            return [
                .problem(
                    "file-system", "\(log.folder): \(String(cString: strerror(errno)))",
                    "Create the folder, or name another file with --db.")
            ]
        }
        let block = Int(clamping: system.f_bsize)
        let free = Int(clamping: system.f_bavail).multipliedReportingOverflow(by: block)
        let all = Int(clamping: system.f_blocks).multipliedReportingOverflow(by: block)
        return [
            judge(type: UInt32(truncatingIfNeeded: system.f_type), folder: log.folder),
            judge(
                freeBytes: free.overflow ? .max : free.partialValue, allBytes: all.overflow ? .max : all.partialValue),
        ]
    }

    private static let network: [UInt32: String] = [
        0x6969: "NFS", 0x517B: "SMB", 0xFF53_4D42: "CIFS", 0xFE53_4D42: "SMB", 0x0102_1997: "9P",
        0x5346_414F: "AFS", 0x00C3_6400: "Ceph", 0x7375_7245: "Coda", 0x0BD0_0BD0: "Lustre", 0x0116_1970: "GFS2",
        0x7461_636F: "OCFS2",
    ]
    private static let memory: [UInt32: String] = [0x0102_1994: "tmpfs", 0x8584_58F6: "ramfs"]
    private static let local: [UInt32: String] = [
        0xEF53: "ext2/3/4", 0x5846_5342: "XFS", 0x9123_683E: "Btrfs", 0x2FC1_2FC1: "ZFS", 0xF2F5_2010: "F2FS",
    ]

    static func judge(type: UInt32, folder: String) -> Finding {
        if let name = network[type] {
            return .problem(
                "file-system", "\(folder) is on \(name), a network file system",
                "Locks and fsync cannot be relied on there, and SQLite's write-ahead log does not work: use a local disk."
            )
        }
        if let name = memory[type] {
            return .problem(
                "file-system", "\(folder) is on \(name), which is memory",
                "Nothing there survives a restart: use a disk, unless the messages need not last.")
        }
        switch type {
        case 0x794C_7630:
            return .warning(
                "file-system", "\(folder) is on overlayfs, the writable layer of a container",
                "The log goes when the container goes: put it on a volume.")
        case 0x6573_5546:
            return .warning(
                "file-system", "\(folder) is on a FUSE file system",
                "Whether its fsync reaches a disk depends on what is behind it: find out, or use a local disk.")
        default:
            let name = local[type] ?? "type 0x\(String(type, radix: 16))"
            return .ok("file-system", "\(folder) is on \(name)")
        }
    }

    private static let scarceBytes = 1 << 30
    private static let tooFewBytes = 128 << 20

    static func judge(freeBytes: Int, allBytes: Int) -> Finding {
        let found = "\(ByteCount.text(freeBytes)) free of \(ByteCount.text(allBytes))"
        let advice = "Make room: on a full disk publishes are refused with storage-full."
        if freeBytes < tooFewBytes { return .problem("disk", found, advice) }
        return freeBytes < scarceBytes ? .warning("disk", found, advice) : .ok("disk", found)
    }
}
