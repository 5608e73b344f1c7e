internal import ApusModel

extension AckLevel {
    /// - Throws: `usage`.
    @Sendable
    static func parse(_ text: String) throws(ApusError) -> AckLevel {
        guard let level = AckLevel(name: text) else {
            throw ApusError(.usage, "\"\(text)\" is no ack level", hint: "It is none, stored or synced.")
        }
        return level
    }
}
