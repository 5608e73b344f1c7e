internal import ApusModel
internal import Glibc

/// Whether what the limits allow fits into the memory that there is.
enum MemoryCheck {
    static func check(_ limits: Limits) -> [Finding] {
        let machine = Int(sysconf(Int32(_SC_PHYS_PAGES))) * Int(sysconf(Int32(_SC_PAGESIZE)))
        let group = groupBytes()
        return [judge(bytes: min(machine, group ?? .max), isGroup: (group ?? .max) < machine, limits)]
    }

    /// The process with its threads and SQLite's caches, and the names that the writer and an event loop keep.
    private static func ownBytes(_ limits: Limits) -> Int { saturatingSum(96 << 20, 2 * limits.nameCacheBytes) }

    static func judge(bytes: Int, isGroup: Bool, _ limits: Limits) -> Finding {
        let shared = [
            ownBytes(limits), limits.receiveBytesMax, limits.uncommittedBytesMax, limits.tailBytesMax,
            limits.pagesBytesMax,
        ].reduce(0, saturatingSum)
        let outboxes = limits.outboxBytesMax.multipliedReportingOverflow(by: limits.connectionsMax)
        let worst = saturatingSum(shared, outboxes.overflow ? .max : outboxes.partialValue)
        let found =
            "\(ByteCount.text(bytes)) \(isGroup ? "for this control group" : "in this machine"); the limits allow "
            + "\(ByteCount.text(shared)), and \(ByteCount.text(worst)) if no connection reads"
        if shared > bytes {
            return .problem(
                "memory", found, "Lower --tail-bytes, --uncommitted-bytes, --receive-bytes or --pages-bytes.")
        }
        guard worst <= bytes else {
            return .warning("memory", found, "Lower --outbox-bytes or --max-connections, if clients are not trusted.")
        }
        return .ok("memory", found)
    }

    private static func saturatingSum(_ first: Int, _ second: Int) -> Int {
        let (sum, overflow) = first.addingReportingOverflow(second)
        return overflow ? .max : sum
    }

    /// The least limit of the control group and those above it; nil where none has one.
    private static func groupBytes() -> Int? {
        guard let own = FileText.read("/proc/self/cgroup") else { return nil }
        var bytes: Int?
        for line in own.split(separator: "\n") {
            // 0::/system.slice/apus.service, or 9:memory:/…
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3 else { continue }
            let isUnified = fields[1].isEmpty
            guard isUnified || fields[1].split(separator: ",").contains("memory") else { continue }
            let root = isUnified ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory"
            let file = isUnified ? "memory.max" : "memory.limit_in_bytes"
            for folder in upwards(String(fields[2])) {
                guard let text = FileText.read("\(root)\(folder)/\(file)"), let limit = parse(limit: text) else {
                    continue
                }
                bytes = min(bytes ?? .max, limit)
            }
        }
        return bytes
    }

    static func upwards(_ path: String) -> [String] {
        var folders = [""]
        for part in path.split(separator: "/") { folders.append("\(folders[folders.count - 1])/\(part)") }
        return folders
    }

    /// `max` is no limit, and so is version 1's largest number.
    static func parse(limit text: String) -> Int? {
        guard let digits = text.split(whereSeparator: \.isWhitespace).first, let bytes = Int(digits), bytes < 1 << 60
        else { return nil }
        return bytes
    }
}
