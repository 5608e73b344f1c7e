internal import ApusBroker
internal import ApusModel
internal import GRDBSQLite
internal import Glibc

/// Waits while another process has locked the file, and keeps count: SQLite's own way of waiting tells nobody.
///
/// Not Sendable: the handler runs inside the writer's own statements.
final class BusyWatch {
    private let timeoutMicroseconds: Int64
    private let shared: SharedState
    private var beganAt: Microseconds = 0

    /// As SQLite waits: soon at first, then ten times a second.
    private static let delaysMicroseconds: [Int64] = [1, 2, 5, 10, 15, 20, 25, 25, 25, 50, 50, 100].map { $0 * 1_000 }

    init(timeoutSeconds: Int, shared: SharedState) {
        timeoutMicroseconds = Int64(timeoutSeconds) * 1_000_000
        self.shared = shared
    }

    /// In place of the connection's timeout.
    func install(on connection: OpaquePointer) {
        // The watch outlives the connection: both belong to the writer, which closes the connection first.
        sqlite3_busy_handler(
            connection,
            { watch, count in
                guard let watch else { return 0 }
                return Unmanaged<BusyWatch>.fromOpaque(watch).takeUnretainedValue().wait(Int(count)) ? 1 : 0
            }, Unmanaged.passUnretained(self).toOpaque())
    }

    /// - Parameter count: how often this statement has waited already.
    /// - Returns: whether it is to be tried again.
    private func wait(_ count: Int) -> Bool {
        let now = Clocks.monotonic()
        if count == 0 { beganAt = now }
        let left = timeoutMicroseconds - (now - beganAt)
        guard left > 0 else { return false }
        let delay = BusyWatch.delaysMicroseconds[min(max(count, 0), BusyWatch.delaysMicroseconds.count - 1)]
        usleep(UInt32(min(delay, left)))
        let waited = Clocks.monotonic() - now
        shared.changeFigures {
            if count == 0 { $0.busyWaits += 1 }
            $0.busyMicroseconds += waited
        }
        return true
    }
}
