package import ApusModel
internal import Glibc

package enum Clocks {
    /// Microseconds since 1970 UTC.
    package static func wall() -> Microseconds { read(CLOCK_REALTIME) }

    /// Microseconds since some point: for delays, which must not depend on what the wall clock does.
    package static func monotonic() -> Microseconds { read(CLOCK_MONOTONIC) }

    /// The same in nanoseconds: for measuring what takes microseconds.
    static func nanoseconds() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }

    private static func read(_ clock: clockid_t) -> Microseconds {
        var time = timespec()
        clock_gettime(clock, &time)
        return Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1_000
    }
}
