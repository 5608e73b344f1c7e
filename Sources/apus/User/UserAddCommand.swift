internal import ApusModel
internal import ApusSecurity
internal import ArgumentParser

/// `apus user add`.
struct UserAddCommand: ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "add",
        abstract: "Add a user.",
        discussion: """
            Makes the file where there is none. The password is asked for twice, without \
            echo; without a terminal it is read from standard input. The file keeps a hash \
            of it.

            EXAMPLES
              apus user add anna
              apus user add sensor --no-password --publish 'sensors/%u'
              apus user add admin --password-file /run/secrets/admin --admin
            """)

    @Argument(help: "The user's name.")
    var name: String

    @OptionGroup var password: NewPasswordOptions

    @Flag(help: "No password: this user logs in with tokens or certificates.")
    var noPassword = false

    @Flag(help: "May ask for status and metrics, and whatever concerns the broker itself.")
    var admin = false

    @Option(help: ArgumentHelp("May publish to these topics; repeatable.", valueName: "filter"))
    var publish: [String] = []

    @Option(help: ArgumentHelp("May subscribe to these topics; repeatable.", valueName: "filter"))
    var subscribe: [String] = []

    @Option(help: ArgumentHelp("May query what is recorded of these topics; repeatable.", valueName: "filter"))
    var history: [String] = []

    @Option(
        help: ArgumentHelp(
            "A client certificate with this common name, anna for CN=anna, is this user; repeatable.",
            valueName: "name"))
    var certificate: [String] = []

    @OptionGroup var options: UsersOptions

    var console: Console { options.console }

    func validate() throws {
        do throws(ApusError) {
            try Users.check(name: name)
            _ = try rights()
        } catch {
            throw error.validation
        }
        if noPassword, password.passwordFile != nil {
            throw ValidationError("--no-password and --password-file exclude each other.")
        }
    }

    func perform() async throws -> ExitStatus {
        var user = Users.User()
        user.rights = try rights()
        user.certificates = certificate
        // Before anybody is asked for a password in vain.
        if let users = try? options.file().load(), users.users[name] != nil { throw exists }
        if !noPassword { user.password = try PasswordHash(of: try password.read(for: name)) }
        try options.change(creates: true) { (users) throws(ApusError) in
            guard users.users[name] == nil else { throw exists }
            users.users[name] = user
            return "added \(name)"
        }
        return .done
    }

    private var exists: ApusError {
        ApusError(.usage, "there is a user \"\(name)\" already", hint: "apus user passwd \(name) changes the password.")
    }

    private func rights() throws(ApusError) -> RightsTemplate {
        var rights = RightsTemplate(isAdmin: admin)
        for (action, texts) in [(Rights.Action.publish, publish), (.subscribe, subscribe), (.history, history)] {
            rights[action].allow = try texts.map { (text) throws(ApusError) in try FilterPattern(text) }
        }
        return rights
    }
}

/// Where a new password comes from.
struct NewPasswordOptions: ParsableArguments, Sendable {
    @Option(help: ArgumentHelp("The file that holds the password; - for standard input.", valueName: "file"))
    var passwordFile: String?

    func read(for name: String) throws(ApusError) -> Secret {
        if let passwordFile { return try SecretInput.file(passwordFile, "the password") }
        if Terminal.isTerminal(0), let password = try SecretInput.askForNew(of: name) { return password }
        return try SecretInput.file("-", "the password")
    }
}

/// `apus user passwd`.
struct UserPasswdCommand: ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "passwd",
        abstract: "Change a user's password.",
        discussion: "Connections that logged in with the old one end when the broker reads the file again.")

    @Argument(help: "The user's name.")
    var name: String

    @OptionGroup var password: NewPasswordOptions

    @Flag(help: "Take the password away: this user logs in with tokens or certificates.")
    var noPassword = false

    @OptionGroup var options: UsersOptions

    var console: Console { options.console }

    func perform() async throws -> ExitStatus {
        guard try options.file().load().users[name] != nil else { throw Users.unknown(name) }
        let hash = noPassword ? nil : try PasswordHash(of: try password.read(for: name))
        try options.change { (users) throws(ApusError) in
            try users.update(name) { $0.password = hash }
            return noPassword ? "\(name) has no password any more" : "changed the password of \(name)"
        }
        return .done
    }
}

/// `apus user remove`.
struct UserRemoveCommand: ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove",
        abstract: "Remove users.",
        discussion: "Their connections end when the broker reads the file again. Their messages stay.")

    @Argument(help: "The users' names; anonymous takes the rights of whoever does not log in.")
    var names: [String]

    @OptionGroup var options: UsersOptions

    var console: Console { options.console }

    func perform() async throws -> ExitStatus {
        try options.change { (users) throws(ApusError) in
            for name in names {
                if name == Users.anonymousName, users.anonymous != nil {
                    users.anonymous = nil
                } else if users.users.removeValue(forKey: name) == nil {
                    throw Users.unknown(name)
                }
            }
            return "removed \(names.joined(separator: ", "))"
        }
        return .done
    }
}
