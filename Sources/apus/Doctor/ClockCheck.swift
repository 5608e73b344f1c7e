internal import CLinux
internal import Glibc

/// Whether the wall clock can be trusted: messages carry its time. Begins watching when it is made.
struct ClockCheck: Sendable {
    private let wall = ClockCheck.microseconds(CLOCK_REALTIME)
    private let monotonic = ClockCheck.microseconds(CLOCK_MONOTONIC)

    /// To be called when the other checks have taken their time.
    func check(_ log: LogPlace) -> [Finding] {
        let wallNow = ClockCheck.microseconds(CLOCK_REALTIME)
        let step = (wallNow - wall) - (ClockCheck.microseconds(CLOCK_MONOTONIC) - monotonic)
        let newest = log.files.compactMap { LogPlace.status($0) }
            .map { Int64($0.st_mtim.tv_sec) * 1_000_000 + Int64($0.st_mtim.tv_nsec) / 1_000 }.max()
        return [
            ClockCheck.judge(
                isSynchronised: ClockCheck.isSynchronised(), stepMicroseconds: step,
                aheadMicroseconds: newest.map { $0 - wallNow } ?? 0)
        ]
    }

    private static let stepMicroseconds: Int64 = 100_000
    private static let aheadMicroseconds: Int64 = 60_000_000

    /// - Parameters:
    ///   - isSynchronised: what the kernel says; nil where it does not.
    ///   - stepMicroseconds: how far the wall clock left the monotonic one while we looked.
    ///   - aheadMicroseconds: how far the log's last change is in the future.
    static func judge(isSynchronised: Bool?, stepMicroseconds step: Int64, aheadMicroseconds ahead: Int64) -> Finding {
        let sync = "Run an NTP client: chrony, systemd-timesyncd."
        if ahead > aheadMicroseconds {
            return .problem(
                "clock", "the log was changed \(ahead / 1_000_000) s in the future: the clock went back",
                "Set the clock right before the broker starts; until then new messages get the old ones' time. \(sync)")
        }
        if abs(step) > stepMicroseconds {
            return .warning("clock", "the clock jumped by \(step / 1_000) ms while it was watched", sync)
        }
        switch isSynchronised {
        case false?: return .warning("clock", "the kernel says that the clock is not synchronised", sync)
        case true?: return .ok("clock", "synchronised")
        case nil: return .ok("clock", "steady; the kernel does not say whether it is synchronised")
        }
    }

    private static func isSynchronised() -> Bool? {
        var time = timex()
        let state = adjtimex(&time)
        guard state >= 0 else { return nil }
        return state != TIME_ERROR && time.status & STA_UNSYNC == 0
    }

    static func microseconds(_ clock: clockid_t) -> Int64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1_000
    }
}
