internal import ApusModel
internal import ApusSecurity
internal import ArgumentParser

/// What a right is about, on the command line.
enum RightName: String, ExpressibleByArgument, CaseIterable, Sendable {
    case publish, subscribe, history, admin

    var action: Rights.Action? { Rights.Action(rawValue: rawValue) }
}

/// Whose right, and which.
struct RightArguments: ParsableArguments, Sendable {
    @Argument(help: "The user's name, or anonymous for whoever does not log in.")
    var name: String

    @Argument(help: "publish, subscribe, history or admin.")
    var right: RightName

    @Argument(help: "Topic filters: a/b, a/+/c, a/#; %u stands for the user's name, %c for the client id.")
    var filters: [String] = []

    func validate() throws {
        if right == .admin, !filters.isEmpty { throw ValidationError("admin concerns the broker: it takes no filter.") }
        if right != .admin, filters.isEmpty { throw ValidationError("\(right.rawValue) of what? Name a topic filter.") }
    }

    func patterns() throws(ApusError) -> [FilterPattern] {
        try filters.map { (text) throws(ApusError) in try FilterPattern(text) }
    }

    var text: String { ([right.rawValue] + filters).joined(separator: " ") }
}

/// `apus user grant`.
struct UserGrantCommand: ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "grant",
        abstract: "Allow a user something, or deny it.",
        discussion: """
            EXAMPLES
              apus user grant anna publish 'sensors/%u/#'
              apus user grant anna subscribe 'private/#' --deny
              apus user grant anonymous subscribe 'public/#'
              apus user grant anna admin
            """)

    @OptionGroup var right: RightArguments

    @Flag(help: "Deny it: that holds against everything that is allowed.")
    var deny = false

    @OptionGroup var options: UsersOptions

    var console: Console { options.console }

    func validate() throws {
        if deny, right.right == .admin { throw ValidationError("admin is taken away with apus user revoke.") }
    }

    func perform() async throws -> ExitStatus {
        let patterns = try right.patterns()
        try options.change { (users) throws(ApusError) in
            try users.updateRights(of: right.name) { rights in
                guard let action = right.right.action else {
                    rights.isAdmin = true
                    return
                }
                for pattern in patterns {
                    if deny {
                        if !rights[action].deny.contains(pattern) { rights[action].deny.append(pattern) }
                    } else if !rights[action].allow.contains(pattern) {
                        rights[action].allow.append(pattern)
                    }
                }
            }
            return "\(deny ? "denied" : "granted") \(right.name) \(right.text)"
        }
        if right.name == Users.anonymousName, !deny {
            console.note("It counts where the configuration says allow-anonymous: true.")
        }
        return .done
    }
}

/// `apus user revoke`.
struct UserRevokeCommand: ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "revoke",
        abstract: "Take back what was granted or denied.",
        discussion: """
            Names filters as they were granted. A right that follows from another filter stays.

            EXAMPLES
              apus user revoke anna publish 'sensors/%u/#'
              apus user revoke anna admin
            """)

    @OptionGroup var right: RightArguments

    @OptionGroup var options: UsersOptions

    var console: Console { options.console }

    func perform() async throws -> ExitStatus {
        let patterns = try right.patterns()
        try options.change { (users) throws(ApusError) in
            try users.updateRights(of: right.name) { (rights) throws(ApusError) in
                guard let action = right.right.action else {
                    rights.isAdmin = false
                    return
                }
                for pattern in patterns {
                    let known = rights[action].allow + rights[action].deny
                    guard known.contains(pattern) else {
                        throw ApusError(
                            .noSuchMessage, "\(right.name) has no \(action.rawValue) right on \(pattern)",
                            hint: "apus user list shows the filters.")
                    }
                    rights[action].allow.removeAll { $0 == pattern }
                    rights[action].deny.removeAll { $0 == pattern }
                }
            }
            return "took from \(right.name) \(right.text)"
        }
        return .done
    }
}
