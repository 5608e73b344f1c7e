internal import ApusModel

/// Writes the text of a users file: always the same text for the same users.
enum UsersWriter {
    static func text(_ users: Users) -> String {
        var lines = [
            "# Users of an Apus broker, written by `apus user`, which keeps no comments. May be edited by hand;",
            "# a running broker reads it again by itself. Nobody but the broker's user may read it: chmod 600.",
        ]
        if let anonymous = users.anonymous {
            lines.append("anonymous:\(anonymous == RightsTemplate() ? " {}" : "")")
            lines += rights(anonymous, indent: "  ")
        }
        lines.append("users:\(users.users.isEmpty ? " {}" : "")")
        for (name, user) in users.users.sorted(by: { $0.key < $1.key }) {
            let content = self.user(user)
            lines.append("  \(quoted(name)):\(content.isEmpty ? " {}" : "")")
            lines += content
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func user(_ user: Users.User) -> [String] {
        var lines: [String] = []
        if let password = user.password { lines.append("    password: \(quoted(password.phc))") }
        if !user.tokens.isEmpty { lines.append("    tokens:") }
        for token in user.tokens {
            lines.append("      - id: \(quoted(token.id))")
            lines.append("        hash: \(quoted(token.hash))")
            if let note = token.note { lines.append("        note: \(quoted(note))") }
            if let created = token.created { lines.append("        created: \(quoted(Timestamp.text(created)))") }
            if let expires = token.expires { lines.append("        expires: \(quoted(Timestamp.text(expires)))") }
        }
        if !user.certificates.isEmpty { lines.append("    certificates: \(list(user.certificates))") }
        return lines + rights(user.rights, indent: "    ")
    }

    private static func rights(_ rights: RightsTemplate, indent: String) -> [String] {
        var lines: [String] = []
        if rights.isAdmin { lines.append("\(indent)admin: true") }
        for action in Rights.Action.allCases where !rights[action].isEmpty {
            lines.append("\(indent)\(action.rawValue):")
            let patterns = rights[action]
            if !patterns.allow.isEmpty { lines.append("\(indent)  allow: \(list(patterns.allow.map(\.text)))") }
            if !patterns.deny.isEmpty { lines.append("\(indent)  deny: \(list(patterns.deny.map(\.text)))") }
        }
        return lines
    }

    private static func list(_ texts: [String]) -> String { "[\(texts.map(quoted).joined(separator: ", "))]" }

    /// A JSON string is a YAML string, but for what YAML does not want to see as it is.
    private static func quoted(_ text: String) -> String {
        var out = ""
        for scalar in JSON.string(text).text.unicodeScalars {
            switch scalar.value {
            case 0x7F...0x9F, 0x2028, 0x2029, 0xFEFF, 0xFFFE, 0xFFFF:
                let digits = String(scalar.value, radix: 16)
                out += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out
    }
}
