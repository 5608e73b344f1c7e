/// Where a value came from.
package enum Origin: Hashable, Sendable, CustomStringConvertible {
    /// Nobody said anything.
    case standard
    /// A line of the configuration file, from 1.
    case file(String, line: Int)
    /// The variable's name; with `_FILE` where its content was read from a file.
    case environment(String)
    /// With its dashes.
    case flag(String)

    package var description: String {
        switch self {
        case .standard: "default"
        case .file(let path, let line): "\(path):\(line)"
        case .environment(let name): "environment variable \(name)"
        case .flag(let name): "flag \(name)"
        }
    }
}

/// A value, and where it came from.
package struct Setting<Value: Hashable & Sendable>: Hashable, Sendable {
    package var value: Value
    package var origin: Origin

    package init(_ value: Value, _ origin: Origin = .standard) {
        self.value = value
        self.origin = origin
    }
}
