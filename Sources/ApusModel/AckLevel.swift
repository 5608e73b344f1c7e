/// What an acknowledgement promises about a message.
public enum AckLevel: UInt8, BitwiseCopyable, Sendable, Hashable, Comparable, CaseIterable {
    /// No answer is sent.
    case none = 0
    /// Committed: survives the death of the broker's process.
    case stored = 1
    /// Committed and fsynced: survives power loss. The default.
    case synced = 2

    public static func < (a: AckLevel, b: AckLevel) -> Bool { a.rawValue < b.rawValue }

    /// The word used on the wire and on the command line.
    public var name: String {
        switch self {
        case .none: "none"
        case .stored: "stored"
        case .synced: "synced"
        }
    }

    public init?(name: String) {
        switch name {
        case "none": self = .none
        case "stored": self = .stored
        case "synced": self = .synced
        default: return nil
        }
    }
}
