internal import ApusModel
internal import ApusSecurity
internal import ArgumentParser

/// `apus user certificate`.
struct UserCertificateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "certificate",
        abstract: "Say which client certificates are a user, instead of a password.",
        subcommands: [UserCertificateAddCommand.self, UserCertificateRemoveCommand.self])
}

/// `apus user certificate add`.
struct UserCertificateAddCommand: ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "add",
        abstract: "Let a user log in with certificates.",
        discussion: """
            A certificate counts where a listener asks for one (client-certificates), and an \
            authority that it trusts has signed it.

            EXAMPLES
              apus user certificate add sensor sensor-7.example
              apus pub -s apuss://host --cert sensor-7.pem --cert-key sensor-7.key sensors/7 -m 21.5
            """)

    @Argument(help: "The user's name.")
    var name: String

    @Argument(help: "The certificates' common names: anna for CN=anna.")
    var certificates: [String]

    @OptionGroup var options: UsersOptions

    var console: Console { options.console }

    func perform() async throws -> ExitStatus {
        try options.change { (users) throws(ApusError) in
            try users.update(name) { user in
                for certificate in certificates where !user.certificates.contains(certificate) {
                    user.certificates.append(certificate)
                }
            }
            return "\(name) logs in with the certificate \(certificates.joined(separator: ", "))"
        }
        return .done
    }
}

/// `apus user certificate remove`.
struct UserCertificateRemoveCommand: ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove",
        abstract: "Take certificates away from whom they are.",
        discussion: "Connections that logged in with them end when the broker reads the file again.")

    @Argument(help: "The certificates' common names, as apus user list shows them.")
    var certificates: [String]

    @OptionGroup var options: UsersOptions

    var console: Console { options.console }

    func perform() async throws -> ExitStatus {
        try options.change { (users) throws(ApusError) in
            var said: [String] = []
            for certificate in certificates {
                guard let name = users.users.first(where: { $0.value.certificates.contains(certificate) })?.key else {
                    throw ApusError(.noSuchMessage, "no user has the certificate \"\(certificate)\"")
                }
                try users.update(name) { $0.certificates.removeAll { $0 == certificate } }
                said.append("\(name) no longer logs in with the certificate \(certificate)")
            }
            return said.joined(separator: "; ")
        }
        return .done
    }
}
