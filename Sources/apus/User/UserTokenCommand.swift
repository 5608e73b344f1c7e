internal import ApusModel
internal import ApusSecurity
internal import ArgumentParser

/// `apus user token`.
struct UserTokenCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "token",
        abstract: "Add and remove tokens, with which programs log in instead of a password.",
        subcommands: [UserTokenAddCommand.self, UserTokenRemoveCommand.self])
}

/// `apus user token add`.
struct UserTokenAddCommand: ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "add",
        abstract: "Make a token for a user, and write it to standard output, once.",
        discussion: """
            The file keeps a hash of it: nobody can show it again.

            EXAMPLES
              apus user token add sensor --expires 90d > sensor.token
              apus pub --token-file sensor.token sensors/sensor -m 21.5
            """)

    @Argument(help: "The user's name.")
    var name: String

    @Option(
        help: ArgumentHelp(
            "When it ends: a time, or how long from now on, as in 90d. Connections end with it. (default: never)",
            valueName: "when"),
        transform: parsing { (text) throws(ApusError) in
            guard let end = try? TimeArgument(text) else {
                throw ApusError(
                    .usage, "\"\(text)\" is neither a time nor a length of time",
                    hint: "Write 90d, 12h, or 2027-01-31T00:00:00Z.")
            }
            return end
        })
    var expires: TimeArgument?

    @Option(help: ArgumentHelp("What it is for.", valueName: "text"))
    var note: String?

    @OptionGroup var options: UsersOptions

    var console: Console { options.console }

    func perform() async throws -> ExitStatus {
        let now = LocalTime.now()
        let token = Token()
        let record = Users.TokenRecord(
            id: token.id, hash: token.hash, note: note, created: now, expires: try end(from: now))
        try options.change { (users) throws(ApusError) in
            try users.update(name) { $0.tokens.append(record) }
            return
                "added the token \(token.id) of \(name)\(record.expires.map { ", which ends \(Timestamp.text($0))" } ?? "")"
        }
        let output = Output()
        output.write { $0 += (token.text.revealed + "\n").utf8 }
        output.flush()
        return .done
    }

    private func end(from now: Microseconds) throws(ApusError) -> Microseconds? {
        let end: Microseconds
        switch expires {
        case nil: return nil
        case .time(let time): end = time
        case .ago(let span): end = now.addingReportingOverflow(span).partialValue
        }
        guard end > now else { throw ApusError(.usage, "--expires: that time has passed") }
        return end
    }
}

/// `apus user token remove`.
struct UserTokenRemoveCommand: ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove",
        abstract: "Remove tokens.",
        discussion: "Connections that logged in with them end when the broker reads the file again.")

    @Argument(help: "The tokens' ids, as apus user list shows them.")
    var ids: [String]

    @OptionGroup var options: UsersOptions

    var console: Console { options.console }

    func perform() async throws -> ExitStatus {
        try options.change { (users) throws(ApusError) in
            for id in ids {
                guard let holder = users.holder(ofToken: id) else {
                    throw ApusError(.noSuchMessage, "there is no token \"\(id)\"")
                }
                try users.update(holder.user) { $0.tokens.removeAll { $0.id == id } }
            }
            return "removed the token\(ids.count == 1 ? "" : "s") \(ids.joined(separator: ", "))"
        }
        return .done
    }
}
