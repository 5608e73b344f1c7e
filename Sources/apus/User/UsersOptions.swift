internal import ApusModel
internal import ApusSecurity
internal import ArgumentParser
internal import Glibc

/// Which users file.
struct UsersOptions: ParsableArguments, Sendable {
    static let systemPath = "/etc/apus/users.yaml"
    static let localPath = "users.yaml"

    @Option(
        help: ArgumentHelp(
            "The users file.",
            discussion: "Without it $APUS_USERS; else \(systemPath) where that is, else \(localPath) right here.",
            valueName: "file"))
    var users: String?

    @Flag(name: .shortAndLong, help: "Say nothing on standard error but errors.")
    var quiet = false

    var console: Console { Console(isQuiet: quiet) }

    func file() throws(ApusError) -> UsersFile {
        if let users { return UsersFile(path: users) }
        if let path = try Environment.value("APUS_USERS") { return UsersFile(path: path) }
        let hasSystemFile = access(UsersOptions.systemPath, F_OK) == 0
        return UsersFile(path: hasSystemFile ? UsersOptions.systemPath : UsersOptions.localPath)
    }

    /// Changes the file and says so.
    func change(
        creates: Bool = false, _ body: (inout Users) throws(ApusError) -> String
    ) throws(ApusError) {
        let file = try file()
        let what = try file.change(creates: creates, body)
        console.note("\(file.path): \(what)")
    }
}

extension Users {
    /// - Throws: `no-such-message`'s kin: exit code 2.
    mutating func update<Value>(
        _ name: String, _ body: (inout User) throws(ApusError) -> Value
    ) throws(ApusError) -> Value {
        guard var user = users[name] else { throw Users.unknown(name) }
        let value = try body(&user)
        users[name] = user
        return value
    }

    static func unknown(_ name: String) -> ApusError {
        ApusError(.noSuchMessage, "there is no user \"\(name)\"", hint: "apus user list says who there is.")
    }

    /// Of a user, or of whoever does not log in.
    mutating func updateRights<Value>(
        of name: String, _ body: (inout RightsTemplate) throws(ApusError) -> Value
    ) throws(ApusError) -> Value {
        if name == Users.anonymousName {
            var rights = anonymous ?? RightsTemplate()
            let value = try body(&rights)
            anonymous = rights
            return value
        }
        return try update(name) { (user) throws(ApusError) in try body(&user.rights) }
    }
}
