internal import Glibc

/// How long the disk takes to have something for sure: every acknowledgement waits for it.
enum SyncCheck {
    static func check(_ log: LogPlace, rounds: Int) -> [Finding] {
        var name = Array("\(log.folder)/.apus-doctor-XXXXXX".utf8CString)
        let descriptor = mkstemp(&name)
        guard descriptor >= 0 else {
            return [
                .problem(
                    "fsync", "cannot write in \(log.folder): \(String(cString: strerror(errno)))",
                    "Give the folder to the user that runs the broker.")
            ]
        }
        // Gone whatever happens from here on.
        unlink(name)
        defer { close(descriptor) }
        guard let times = measure(descriptor, rounds: rounds) else {
            return [
                .problem(
                    "fsync", "writing and syncing in \(log.folder) failed: \(String(cString: strerror(errno)))",
                    "Look at the disk (dmesg): the broker would stop at the first such error.")
            ]
        }
        return [judge(microseconds: times)]
    }

    /// Appends 4 to 8 KiB at a time, as a commit of few messages does.
    ///
    /// - Returns: microseconds of each fdatasync, ascending; nil where the disk refused.
    private static func measure(_ descriptor: Int32, rounds: Int) -> [Int64]? {
        let block = [UInt8](repeating: 0x5A, count: 8_192)
        var times: [Int64] = []
        for round in 0..<rounds {
            let count = 4_096 + (round % 5) * 1_024
            guard write(descriptor, block, count) == count else { return nil }
            let began = ClockCheck.microseconds(CLOCK_MONOTONIC)
            guard fdatasync(descriptor) == 0 else { return nil }
            times.append(ClockCheck.microseconds(CLOCK_MONOTONIC) - began)
        }
        return times.sorted()
    }

    /// Faster than any disk that is asked to write: a memory file system, or a layer that only says yes.
    private static let implausibleMicroseconds: Int64 = 10
    private static let slowMicroseconds: Int64 = 50_000

    /// - Parameter microseconds: ascending, not empty.
    static func judge(microseconds: [Int64]) -> Finding {
        let median = percentile(50, of: microseconds)
        let worst = percentile(99, of: microseconds)
        let found = "fsync takes \(text(median)) (median), \(text(worst)) (99 %), of \(microseconds.count)"
        if median < implausibleMicroseconds {
            return .warning(
                "fsync", found, "No disk is that fast: what is acknowledged may not survive power loss here.")
        }
        if worst > slowMicroseconds {
            return .warning(
                "fsync", found, "Acknowledgements wait for it: use a faster disk, or one that others use less.")
        }
        return .ok("fsync", found)
    }

    private static func percentile(_ percent: Int, of sorted: [Int64]) -> Int64 {
        sorted[min(sorted.count - 1, sorted.count * percent / 100)]
    }

    private static func text(_ microseconds: Int64) -> String {
        microseconds < 1_000 ? "\(microseconds) µs" : "\(microseconds / 1_000).\(microseconds % 1_000 / 100) ms"
    }
}
