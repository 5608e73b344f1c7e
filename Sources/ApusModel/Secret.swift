/// A password or a token: what must not get into a log, an error or a description by accident.
///
/// Everything that prints a value prints `(secret)`; only ``revealed`` has the text.
public struct Secret: Sendable, Hashable, ExpressibleByStringLiteral, CustomStringConvertible,
    CustomDebugStringConvertible, CustomReflectable
{
    /// No password or token is longer: what waits to be checked is bounded by its number.
    package static let bytesMax = 4_096

    /// The text itself: for the wire, and for checking it.
    public let revealed: String

    public init(_ text: String) { revealed = text }
    public init(stringLiteral text: String) { revealed = text }

    /// nil for nil.
    package init?(optional text: String?) {
        guard let text else { return nil }
        revealed = text
    }

    public var description: String { "(secret)" }
    public var debugDescription: String { "(secret)" }
    /// Without children: `dump` shows nothing.
    public var customMirror: Mirror { Mirror(self, children: [] as [Mirror.Child]) }
}
