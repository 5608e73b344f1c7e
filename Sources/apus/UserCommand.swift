internal import ArgumentParser

/// `apus user`: who may log in, and what they may do.
struct UserCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "user",
        abstract: "Manage the users of a broker, their tokens and their rights.",
        discussion: """
            Works on a users file, the one that apus serve --users names; a running broker \
            sees the change within two seconds. Users may do nothing that is not granted to them.

            A right is publish, subscribe (messages, from any position on) or history \
            (queries), each on topic filters, in which %u stands for the user's name and %c \
            for the client id (--client-id, which the client chooses); or admin. What is denied is denied, whatever else is granted. \
            The user "anonymous" is whoever does not log in, where the broker allows that.

            EXAMPLES
              apus user add anna --publish 'sensors/%u/#' --subscribe '#' --history '#'
              apus user grant anna subscribe 'private/#' --deny
              apus user token add anna --expires 90d --note 'backup job' > token
              apus user certificate add anna anna.example
              apus user list
            """,
        subcommands: [
            UserAddCommand.self, UserRemoveCommand.self, UserListCommand.self, UserPasswdCommand.self,
            UserTokenCommand.self, UserCertificateCommand.self, UserGrantCommand.self, UserRevokeCommand.self,
        ])
}
