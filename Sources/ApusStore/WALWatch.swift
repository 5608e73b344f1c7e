internal import ApusModel
internal import GRDBSQLite

/// How large the write-ahead log is: SQLite tells after each commit.
///
/// Not Sendable: the hook runs inside the writer's own COMMIT.
final class WALWatch {
    private var frames = 0
    private let frameBytes: Int
    /// The size at the last checkpoint.
    private(set) var checkpointedBytes = 0
    /// When it was last tried to start it anew, and when the next warning about that may come; monotonic clock.
    var restartTriedAt: Microseconds = 0
    var warnAt: Microseconds = 0
    /// Somebody else's reader kept it from starting anew when that was last tried.
    var isPinned = false

    init(pageBytes: Int) { frameBytes = pageBytes + 24 }

    func install(on connection: OpaquePointer) {
        // The watch outlives the connection: both belong to the writer, which closes the connection first.
        sqlite3_wal_hook(
            connection,
            { watch, _, _, frames in
                if let watch { Unmanaged<WALWatch>.fromOpaque(watch).takeUnretainedValue().committed(Int(frames)) }
                return SQLITE_OK
            }, Unmanaged.passUnretained(self).toOpaque())
    }

    var bytes: Int { frames * frameBytes }

    /// How much came since the last checkpoint.
    var grownBytes: Int { bytes - checkpointedBytes }

    private func committed(_ frames: Int) {
        if frames < self.frames { checkpointedBytes = 0 }
        self.frames = frames
    }

    func checkpointed(frames: Int, of all: Int) {
        self.frames = all
        checkpointedBytes = bytes
    }

    /// A checkpoint did not work: the next one is due when as much again has come.
    func putOff() { checkpointedBytes = bytes }
}
