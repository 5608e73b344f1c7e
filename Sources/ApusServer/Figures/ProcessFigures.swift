internal import Foundation

/// What the system says of this process and of the log's file system. Nothing of it opens the log's files: closing a
/// descriptor of theirs would drop SQLite's locks.
struct ProcessFigures {
    /// nil where the system does not tell.
    var residentBytes: Int?
    var cpuSeconds: Double
    var descriptors: Int?
    var descriptorsMax: Int?

    static func read() -> ProcessFigures {
        ProcessFigures(
            residentBytes: residentBytes(), cpuSeconds: cpuSeconds(), descriptors: openDescriptors(),
            descriptorsMax: descriptorsMax())
    }

    /// What this user may still write beside `path`.
    static func freeBytes(beside path: String) -> Int? {
        var status = statvfs()
        guard !path.isEmpty, statvfs(path, &status) == 0 else { return nil }
        let (bytes, overflow) = Int(status.f_bavail).multipliedReportingOverflow(by: Int(status.f_frsize))
        return overflow ? nil : bytes
    }

    private static func residentBytes() -> Int? {
        guard let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8) else { return nil }
        let fields = text.split(separator: " ")
        guard fields.count > 1, let pages = Int(fields[1]) else { return nil }
        return pages * sysconf(Int32(_SC_PAGESIZE))
    }

    private static func cpuSeconds() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    private static func openDescriptors() -> Int? {
        guard let folder = opendir("/proc/self/fd") else { return nil }
        defer { closedir(folder) }
        var count = 0
        while readdir(folder) != nil { count += 1 }
        // Without `.`, `..` and the one that is open for looking.
        return max(0, count - 3)
    }

    private static func descriptorsMax() -> Int? {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return nil }
        return Int(clamping: limit.rlim_cur)
    }
}
