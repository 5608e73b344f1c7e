internal import ApusModel
internal import ApusSecurity
internal import ArgumentParser

/// `apus user list`.
struct UserListCommand: ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "List users, how they log in, and their rights.",
        discussion: "A filter that is denied has a '!' before it. Exits with 2 where there is no user.")

    @Flag(help: "A JSON object a line.")
    var json = false

    @OptionGroup var options: UsersOptions

    var console: Console { options.console }

    func perform() async throws -> ExitStatus {
        let users = try options.file().load()
        let output = Output()
        if json { writeJSON(users, output) } else { writeTables(users, output) }
        output.flush()
        return users.users.isEmpty && users.anonymous == nil ? .nothingMatched : .done
    }

    private func rows(_ users: Users) -> [(name: String, user: Users.User)] {
        var rows = users.users.sorted { $0.key < $1.key }.map { (name: $0.key, user: $0.value) }
        if let anonymous = users.anonymous {
            var user = Users.User()
            user.rights = anonymous
            rows.append((Users.anonymousName, user))
        }
        return rows
    }

    // MARK: For people

    private func writeTables(_ users: Users, _ output: Output) {
        var table = Table(
            ["USER", "LOGIN", "ADMIN", "PUBLISH", "SUBSCRIBE", "HISTORY"].map { .init(title: $0) }, width: nil)
        output.write { out in
            for (name, user) in rows(users) {
                table.append(
                    [TerminalText.escaped(name), login(name, user), user.rights.isAdmin ? "yes" : "-"]
                        + Rights.Action.allCases.map { filters(user.rights[$0]) }, to: &out)
            }
            table.finish(to: &out)
            writeTokens(users, to: &out)
            writeCertificates(users, to: &out)
        }
    }

    private func writeTokens(_ users: Users, to out: inout [UInt8]) {
        guard users.users.values.contains(where: { !$0.tokens.isEmpty }) else { return }
        var table = Table(["TOKEN", "USER", "ENDS", "NOTE"].map { .init(title: $0) }, width: nil)
        let now = LocalTime.now()
        out.append(UInt8(ascii: "\n"))
        for (name, user) in rows(users) {
            for token in user.tokens {
                let end = token.expires.map { Timestamp.text($0) + (token.isExpired(at: now) ? " (over)" : "") }
                let cells = [token.id, name, end ?? "never", token.note ?? "-"]
                table.append(cells.map { TerminalText.escaped($0) }, to: &out)
            }
        }
        table.finish(to: &out)
    }

    private func writeCertificates(_ users: Users, to out: inout [UInt8]) {
        guard users.users.values.contains(where: { !$0.certificates.isEmpty }) else { return }
        var table = Table(["CERTIFICATE", "USER"].map { .init(title: $0) }, width: nil)
        out.append(UInt8(ascii: "\n"))
        for (name, user) in rows(users) {
            for certificate in user.certificates {
                table.append([certificate, name].map { TerminalText.escaped($0) }, to: &out)
            }
        }
        table.finish(to: &out)
    }

    private func login(_ name: String, _ user: Users.User) -> String {
        if name == Users.anonymousName { return "none" }
        var ways: [String] = []
        if user.password != nil { ways.append("password") }
        if !user.tokens.isEmpty { ways.append("\(user.tokens.count) token\(user.tokens.count == 1 ? "" : "s")") }
        if !user.certificates.isEmpty { ways.append("certificate") }
        return ways.isEmpty ? "impossible" : ways.joined(separator: ", ")
    }

    private func filters(_ patterns: RightsTemplate.Patterns) -> String {
        let texts = patterns.allow.map(\.text) + patterns.deny.map { "!" + $0.text }
        return texts.isEmpty ? "-" : TerminalText.escaped(texts.joined(separator: " "))
    }

    // MARK: For programs

    private func writeJSON(_ users: Users, _ output: Output) {
        for (name, user) in rows(users) {
            func list(_ texts: [String]) -> JSON { .array(texts.map { .string($0) }) }
            var members = [
                JSON.Member("user", .string(name)), JSON.Member("password", .bool(user.password != nil)),
                JSON.Member("tokens", .array(user.tokens.map(object))),
                JSON.Member("certificates", list(user.certificates)), JSON.Member("admin", .bool(user.rights.isAdmin)),
            ]
            for action in Rights.Action.allCases {
                let patterns = user.rights[action]
                members.append(
                    JSON.Member(
                        action.rawValue,
                        .object([
                            JSON.Member("allow", list(patterns.allow.map(\.text))),
                            JSON.Member("deny", list(patterns.deny.map(\.text))),
                        ])))
            }
            let object = JSON.object(members)
            output.writeJSON { $0 += object.bytes + [0x0A] }
        }
    }

    private func object(_ token: Users.TokenRecord) -> JSON {
        var members = [JSON.Member("id", .string(token.id))]
        if let note = token.note { members.append(JSON.Member("note", .string(note))) }
        if let created = token.created { members.append(JSON.Member("created", .string(Timestamp.text(created)))) }
        if let expires = token.expires { members.append(JSON.Member("expires", .string(Timestamp.text(expires)))) }
        return .object(members)
    }
}
