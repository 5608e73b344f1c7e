internal import ApusClient
internal import ApusModel
internal import ArgumentParser

/// Who logs in, and with what. Never a password or a token as an argument: others see it in the list of processes.
struct LoginOptions: ParsableArguments, Sendable {
    @Option(
        help: ArgumentHelp(
            "Who logs in.",
            discussion:
                "The password comes from --password-file, else $APUS_PASSWORD or the file $APUS_PASSWORD_FILE, else it is asked for. Without it $APUS_USER.",
            valueName: "name"))
    var user: String?

    @Option(help: ArgumentHelp("The file that holds the password; - for standard input.", valueName: "file"))
    var passwordFile: String?

    @Option(
        help: ArgumentHelp(
            "The file that holds a token, instead of user and password; - for standard input.",
            discussion: "Without it $APUS_TOKEN, or the file $APUS_TOKEN_FILE.", valueName: "file"))
    var tokenFile: String?

    /// Flags come before the server's address, which comes before the environment.
    func apply(to configuration: inout ClientConfiguration) throws(ApusError) {
        if tokenFile != nil, passwordFile != nil {
            throw ApusError(.usage, "--token-file and --password-file: log in with one of them")
        }
        if let tokenFile {
            configuration.token = try SecretInput.file(tokenFile, "the token")
            // The broker refuses somebody else's token.
            configuration.user = user
            return
        }
        let namesUser = user != nil || passwordFile != nil || configuration.endpoint.user != nil
        if !namesUser, let token = try Environment.value("APUS_TOKEN") {
            configuration.token = Secret(token)
            return
        }
        configuration.user = user ?? configuration.endpoint.user
        if configuration.user == nil { configuration.user = try Environment.value("APUS_USER") }
        guard let name = configuration.user else {
            guard passwordFile == nil else { throw ApusError(.usage, "--password-file without --user") }
            return
        }
        configuration.password = try password(of: name, configuration.endpoint)
    }

    private func password(of name: String, _ endpoint: Endpoint) throws(ApusError) -> Secret {
        if let passwordFile { return try SecretInput.file(passwordFile, "the password") }
        if let password = endpoint.password, user == nil || user == endpoint.user { return password }
        if let password = try Environment.value("APUS_PASSWORD") { return Secret(password) }
        guard let password = try SecretInput.ask("Password of \(name): ") else {
            throw ApusError(
                .usage, "there is no password for \(name)",
                hint: "Name a file with --password-file, or set $APUS_PASSWORD_FILE or $APUS_PASSWORD.")
        }
        return password
    }
}
