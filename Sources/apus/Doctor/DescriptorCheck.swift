internal import ApusModel
internal import Glibc

/// Each connection needs a file descriptor.
enum DescriptorCheck {
    /// For the log, its readers, the listeners and the threads.
    private static let ownDescriptors = 64

    static func check(_ limits: Limits) -> [Finding] {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return [] }
        return [judge(hard: Int(clamping: limit.rlim_max), connections: limits.connectionsMax)]
    }

    /// - Parameter hard: the limit that counts: the broker raises its soft one to it.
    static func judge(hard: Int, connections: Int) -> Finding {
        let needed = connections + ownDescriptors
        let found = "\(hard) file descriptors allowed, \(needed) needed for max-connections \(connections)"
        if hard >= needed { return .ok("descriptors", found) }
        let advice = "Raise the hard limit (ulimit -Hn; LimitNOFILE= in the unit), or lower --max-connections."
        // Below it nothing is lost: what does not fit waits in the kernel's backlog.
        return hard < 2 * ownDescriptors
            ? .problem("descriptors", found, advice) : .warning("descriptors", found, advice)
    }
}
