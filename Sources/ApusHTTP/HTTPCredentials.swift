internal import Foundation

/// What a request says of who sends it.
package enum HTTPCredentials: Hashable, Sendable {
    case none
    case password(user: String, password: String)
    case token(String)
    /// There is an `Authorization` that is neither.
    case unreadable

    /// - Parameter field: the value of `Authorization`, if there is one.
    init(authorization field: String?) {
        guard let field else {
            self = .none
            return
        }
        let parts = field.split(separator: " ", maxSplits: 1).map { $0.trimmingCharacters(in: .whitespaces) }
        guard parts.count == 2 else {
            self = .unreadable
            return
        }
        switch parts[0].lowercased() {
        case "bearer" where !parts[1].isEmpty: self = .token(parts[1])
        case "basic": self = HTTPCredentials.basic(parts[1]) ?? .unreadable
        default: self = .unreadable
        }
    }

    /// The first colon ends the name: a password may hold more of them.
    private static func basic(_ text: String) -> HTTPCredentials? {
        guard let data = Data(base64Encoded: text), let pair = String(validating: data, as: UTF8.self),
            let colon = pair.firstIndex(of: ":")
        else { return nil }
        return .password(user: String(pair[..<colon]), password: String(pair[pair.index(after: colon)...]))
    }
}

/// Whether a request may see what it asks for.
package enum HTTPAccess: Hashable, Sendable {
    case granted
    /// Nobody, or somebody unknown.
    case unknown
    /// Somebody who may not.
    case refused
}
