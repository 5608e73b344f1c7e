/// The position of a message in the one log of a broker.
///
/// Starts at 1, strictly increases, is never reused, not even after a power loss. There may be holes.
/// As a cursor, a seq means "everything up to and including this one is behind me"; 0 stands before the first.
/// Bounds: at most 2^63 - 1, so that SQLite's signed integers hold it.
public typealias Seq = UInt64

extension Seq {
    /// The largest seq that SQLite can hold.
    package static let last = Seq(Int64.max)
}

/// Microseconds since 1970-01-01T00:00:00Z.
public typealias Microseconds = Int64
