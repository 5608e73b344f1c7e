internal import ApusModel
internal import Yams

/// Reads the text of a users file. Every fault names the line; what is not known is a fault.
struct UsersReader {
    private let path: String

    /// - Throws: `usage`, naming the file, the line and what is wrong there.
    static func read(_ text: String, path: String) throws(ApusError) -> Users {
        let reader = UsersReader(path: path)
        guard let root = try reader.compose(text) else { return Users() }
        return try reader.users(root)
    }

    private func compose(_ text: String) throws(ApusError) -> Node? {
        do {
            return try Yams.compose(yaml: text)
        } catch let error as YamlError {
            throw fault(error)
        } catch {
            throw ApusError(.usage, "\(path) is not YAML")
        }
    }

    /// Without the text around the place: hashes stand there.
    private func fault(_ error: YamlError) -> ApusError {
        switch error {
        case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
            .composer(_, let problem, let mark, _):
            ApusError(.usage, "\(path):\(mark.line): \(problem)")
        case .duplicatedKeysInMapping(let keys, let context):
            ApusError(
                .usage, "\(path):\(context.mark.line): \(keys.sorted().joined(separator: ", ")) stands twice")
        case .reader(let problem, _, _, _): ApusError(.usage, "\(path): \(problem)")
        default: ApusError(.usage, "\(path) is not YAML")
        }
    }

    private func fault(_ node: Node, _ what: String, hint: String? = nil) -> ApusError {
        ApusError(.usage, "\(path)\(node.mark.map { ":\($0.line)" } ?? ""): \(what)", hint: hint)
    }

    // MARK: What it says

    private func users(_ root: Node) throws(ApusError) -> Users {
        var users = Users()
        for (key, value) in try members(root, "the file") {
            switch try name(key) {
            case "users":
                for (key, value) in try members(value, "users") {
                    let name = try name(key)
                    do throws(ApusError) {
                        try Users.check(name: name)
                    } catch {
                        throw fault(key, error.message, hint: error.hint)
                    }
                    users.users[name] = try user(value)
                }
            case Users.anonymousName: users.anonymous = try anonymous(value)
            case let other:
                throw fault(key, "\"\(other.prefix(80))\" is unknown", hint: "It may be users or anonymous.")
            }
        }
        try checkTokens(users, root)
        return users
    }

    private func user(_ node: Node) throws(ApusError) -> Users.User {
        var user = Users.User()
        for (key, value) in try members(node, "a user") {
            let name = try name(key)
            if try readRight(name, value, into: &user.rights) { continue }
            switch name {
            case "password":
                guard let hash = PasswordHash(phc: try self.text(value, name)) else {
                    throw fault(
                        value, "the password is not hashed as it should be",
                        hint: "apus user passwd writes it; it is never a plain password.")
                }
                user.password = hash
            case "tokens": user.tokens = try list(value, name).map { (node) throws(ApusError) in try token(node) }
            case "certificates":
                user.certificates = try list(value, name).map { (node) throws(ApusError) in try text(node, name) }
            default:
                throw fault(
                    key, "\"\(name.prefix(80))\" of a user is unknown",
                    hint: "It may be password, tokens, certificates, admin, publish, subscribe or history.")
            }
        }
        return user
    }

    private func anonymous(_ node: Node) throws(ApusError) -> RightsTemplate {
        var rights = RightsTemplate()
        for (key, value) in try members(node, "anonymous") {
            let name = try name(key)
            guard try readRight(name, value, into: &rights) else {
                throw fault(
                    key, "\"\(name.prefix(80))\" of anonymous is unknown",
                    hint: "It may be admin, publish, subscribe or history.")
            }
        }
        return rights
    }

    /// - Returns: whether it is one.
    private func readRight(_ name: String, _ node: Node, into rights: inout RightsTemplate) throws(ApusError) -> Bool {
        if name == "admin" {
            guard let isAdmin = node.bool else { throw fault(node, "admin is neither true nor false") }
            rights.isAdmin = isAdmin
            return true
        }
        guard let action = Rights.Action(rawValue: name) else { return false }
        rights[action] = try patterns(node, name)
        return true
    }

    /// A list of filters that are allowed, or both lists by name.
    private func patterns(_ node: Node, _ name: String) throws(ApusError) -> RightsTemplate.Patterns {
        var patterns = RightsTemplate.Patterns()
        if case .sequence = node {
            patterns.allow = try filters(node, name)
            return patterns
        }
        for (key, value) in try members(node, name) {
            switch try self.name(key) {
            case "allow": patterns.allow = try filters(value, "allow")
            case "deny": patterns.deny = try filters(value, "deny")
            case let other:
                throw fault(key, "\"\(other.prefix(80))\" of \(name) is unknown", hint: "It may be allow or deny.")
            }
        }
        return patterns
    }

    private func filters(_ node: Node, _ name: String) throws(ApusError) -> [FilterPattern] {
        var filters: [FilterPattern] = []
        for item in try list(node, name) {
            let text = try text(item, "a filter of \(name)")
            do throws(ApusError) {
                filters.append(try FilterPattern(text))
            } catch {
                throw fault(item, error.message, hint: error.hint)
            }
        }
        return filters
    }

    private func token(_ node: Node) throws(ApusError) -> Users.TokenRecord {
        var record = Users.TokenRecord(id: "", hash: "")
        for (key, value) in try members(node, "a token") {
            switch try name(key) {
            case "id": record.id = try text(value, "id")
            case "hash": record.hash = try text(value, "hash")
            case "note": record.note = try text(value, "note")
            case "created": record.created = try time(value, "created")
            case "expires": record.expires = try time(value, "expires")
            case let other:
                throw fault(
                    key, "\"\(other.prefix(80))\" of a token is unknown",
                    hint: "It may be id, hash, note, created or expires.")
            }
        }
        guard !record.id.isEmpty, !record.id.contains("_") else { throw fault(node, "a token has no id") }
        guard Token.isHash(record.hash) else {
            throw fault(node, "the hash of the token \(record.id) is none", hint: "apus user token add writes it.")
        }
        return record
    }

    private func checkTokens(_ users: Users, _ root: Node) throws(ApusError) {
        var ids: Set<String> = []
        for token in users.users.values.flatMap(\.tokens) where !ids.insert(token.id).inserted {
            throw fault(root, "two tokens have the id \(token.id.prefix(80))")
        }
        do throws(ApusError) {
            try users.checkCertificates()
        } catch {
            throw fault(root, error.message, hint: error.hint)
        }
    }

    // MARK: Nodes

    /// Left empty it is an empty one.
    private func members(_ node: Node, _ what: String) throws(ApusError) -> [(Node, Node)] {
        if isNull(node) { return [] }
        guard case .mapping(let mapping) = node else {
            throw fault(node, "\(what) is no list of names with values")
        }
        return mapping.map { ($0.key, $0.value) }
    }

    private func list(_ node: Node, _ what: String) throws(ApusError) -> [Node] {
        if isNull(node) { return [] }
        guard case .sequence(let sequence) = node else { throw fault(node, "\(what) is no list") }
        return Array(sequence)
    }

    private func isNull(_ node: Node) -> Bool {
        guard case .scalar(let scalar) = node else { return false }
        return scalar.style == .plain && (scalar.string.isEmpty || node.null != nil)
    }

    private func name(_ node: Node) throws(ApusError) -> String {
        guard case .scalar(let scalar) = node else { throw fault(node, "a name is expected here") }
        return scalar.string
    }

    private func text(_ node: Node, _ what: String) throws(ApusError) -> String {
        guard case .scalar(let scalar) = node, !isNull(node) else { throw fault(node, "\(what) is no text") }
        return scalar.string
    }

    private func time(_ node: Node, _ what: String) throws(ApusError) -> Microseconds {
        guard let time = Timestamp.parse(try text(node, what)) else {
            throw fault(node, "\(what) is no time", hint: "A time looks like 2027-01-01T00:00:00Z.")
        }
        return time
    }
}
