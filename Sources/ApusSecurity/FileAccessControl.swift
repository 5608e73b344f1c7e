package import ApusBroker
package import ApusModel
internal import Crypto
internal import Glibc
internal import NIOConcurrencyHelpers

/// The users of a users file. Whoever is not in it may do nothing.
package final class FileAccessControl: AccessControl {
    /// One reading of the file. Immutable.
    private struct Snapshot: Sendable {
        let users: Users
        let tokens: [String: (user: String, record: Users.TokenRecord)]
        let certificates: [String: String]
        /// What is checked where there is no such user: a stranger learns nothing from the time it takes.
        let nobody: PasswordHash

        init(_ users: Users) {
            self.users = users
            var tokens: [String: (user: String, record: Users.TokenRecord)] = [:]
            var certificates: [String: String] = [:]
            for (name, user) in users.users {
                for token in user.tokens { tokens[token.id] = (name, token) }
                for certificate in user.certificates { certificates[certificate] = name }
            }
            (self.tokens, self.certificates) = (tokens, certificates)
            nobody = .unmatchable(cost: users.users.values.compactMap(\.password?.cost).first ?? .standard)
        }
    }

    private struct State: Sendable {
        var snapshot: Snapshot
        var generation: UInt64 = 0
        var verified = VerifiedPasswords()
    }

    private let file: UsersFile
    private let clock: @Sendable () -> Microseconds
    private let state: NIOLockedValueBox<State>

    package static let systemClock: @Sendable () -> Microseconds = {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Microseconds(time.tv_sec) * 1_000_000 + Microseconds(time.tv_nsec) / 1_000
    }

    /// - Throws: as ``UsersFile/load()``.
    package init(
        path: String, clock: @escaping @Sendable () -> Microseconds = FileAccessControl.systemClock
    ) throws(ApusError) {
        file = UsersFile(path: path)
        self.clock = clock
        state = NIOLockedValueBox(State(snapshot: Snapshot(try file.load())))
    }

    /// Reads the file again and takes over what it says.
    ///
    /// - Throws: as ``UsersFile/load()``; then everything stays as it was.
    package func reload() throws(ApusError) { take(try read()) }

    /// What the file says now; nothing is changed yet.
    ///
    /// - Throws: as ``UsersFile/load()``.
    package func read() throws(ApusError) -> Users { try file.load() }

    /// From here on these are the users. `Broker.accessChanged()` then makes it hold for those who are connected.
    ///
    /// - Returns: whether anything is different.
    @discardableResult
    package func take(_ users: Users) -> Bool {
        let snapshot = Snapshot(users)
        return state.withLockedValue { state in
            guard state.snapshot.users != users else { return false }
            state.snapshot = snapshot
            state.generation += 1
            state.verified = VerifiedPasswords()
            return true
        }
    }

    package var isOpen: Bool { false }
    package var generation: UInt64 { state.withLockedValue { $0.generation } }
    package var path: String { file.path }
    package var userCount: Int { snapshot.users.users.count }

    private var snapshot: Snapshot { state.withLockedValue { $0.snapshot } }

    // MARK: Logging in

    /// One text for everything: whether a user exists is nobody's business.
    private static let wrong = ApusError.fatal(
        .notAllowed, "user, password or token is wrong", hint: "apus user lists, adds and changes users.")

    private static let wrongCertificate = ApusError.fatal(
        .notAllowed, "the client certificate is no user's, or another one's than was named",
        hint: "apus user certificate add gives it to a user.")

    package func authenticate(_ credentials: Credentials) throws(ApusError) -> Identity {
        let snapshot = snapshot
        let (user, proof, expiresAt): (String, String, Microseconds?)
        switch (credentials.token, credentials.password) {
        case (_?, _?):
            throw .fatal(.invalidField, "a password and a token at once", hint: "Log in with one of them.")
        case (let token?, nil):
            let (name, record) = try holder(of: token, credentials.user, snapshot)
            (user, proof, expiresAt) = (name, FileAccessControl.proof(record), record.expires)
        case (nil, let password?):
            let (name, hash) = try checked(password, credentials.user, snapshot)
            (user, proof, expiresAt) = (name, FileAccessControl.proof(hash), nil)
        case (nil, nil):
            guard let certificate = credentials.certificateName else {
                return identity(of: "") ?? Identity(user: "", rights: .nothing)
            }
            guard let name = snapshot.certificates[certificate], [nil, name].contains(credentials.user) else {
                throw FileAccessControl.wrongCertificate
            }
            (user, proof, expiresAt) = (name, FileAccessControl.proof(certificate: certificate), nil)
        }
        let template = snapshot.users.users[user]?.rights ?? RightsTemplate()
        try checkClient(credentials.clientID, template)
        return Identity(
            user: user, rights: template.filled(user: user, client: credentials.clientID),
            clientID: credentials.clientID, proof: proof, expiresAt: expiresAt)
    }

    package func explain(_ credentials: Credentials) -> String? {
        let snapshot = snapshot
        if let text = credentials.token { return explain(text, credentials.user, snapshot) }
        if credentials.password != nil {
            guard let user = credentials.user.flatMap({ snapshot.users.users[$0] }) else {
                return "there is no such user"
            }
            return user.password == nil ? "this user has no password" : "the password is wrong"
        }
        guard let name = credentials.certificateName else { return nil }
        guard let user = snapshot.certificates[name] else { return "no user has this certificate" }
        return "the certificate is that of \(user)"
    }

    private func explain(_ text: Secret, _ user: String?, _ snapshot: Snapshot) -> String {
        guard let token = Token(text) else { return "what was sent is no token" }
        guard let (name, record) = snapshot.tokens[token.id] else { return "there is no such token" }
        if record.isExpired(at: clock()) { return "the token \(record.id) of \(name) has expired" }
        if let user, user != name { return "the token \(record.id) is that of \(name)" }
        return "the secret of the token \(record.id) of \(name) is wrong"
    }

    private func holder(
        of text: Secret, _ user: String?, _ snapshot: Snapshot
    ) throws(ApusError) -> (String, Users.TokenRecord) {
        guard let token = Token(text), let (name, record) = snapshot.tokens[token.id],
            ConstantTime.equal(Array(token.hash.utf8), Array(record.hash.utf8)), !record.isExpired(at: clock()),
            user == nil || user == name
        else { throw FileAccessControl.wrong }
        return (name, record)
    }

    private func checked(
        _ password: Secret, _ user: String?, _ snapshot: Snapshot
    ) throws(ApusError) -> (String, PasswordHash) {
        let hash = user.flatMap { snapshot.users.users[$0]?.password }
        let isKnown = hash.map { hash in state.withLockedValue { $0.verified.contains(password, hash) } } ?? false
        // Also where there is no such user: it takes as long.
        let isRight = isKnown ? true : try (hash ?? snapshot.nobody).matches(password)
        guard isRight, let user, let hash else { throw FileAccessControl.wrong }
        state.withLockedValue { $0.verified.insert(password, hash) }
        return (user, hash)
    }

    /// A client id that cannot be filled in would leave the client without what it was meant to have, in silence.
    private func checkClient(_ clientID: String?, _ template: RightsTemplate) throws(ApusError) {
        guard let clientID, template.namesClient, !FilterPattern.isSafe(clientID) else { return }
        throw .fatal(
            .invalidField, "the rights of this user refer to the client id, and this one cannot stand in a filter",
            hint: "It must be without '/', '+', '#' and NUL, and not begin with '$'.")
    }

    private static func proof(_ hash: PasswordHash) -> String { "password:\(hash.fingerprint)" }
    private static func proof(_ token: Users.TokenRecord) -> String { "token:\(token.id):\(token.hash)" }
    private static func proof(certificate: String) -> String { "certificate:\(certificate)" }

    // MARK: Afterwards

    package func identity(of user: String) -> Identity? {
        let users = snapshot.users
        guard let template = user.isEmpty ? users.anonymous : users.users[user]?.rights else { return nil }
        return Identity(user: user, rights: template.filled(user: user, client: nil))
    }

    package func renewed(_ identity: Identity) throws(ApusError) -> Identity {
        let snapshot = snapshot
        if identity.isAnonymous { return self.identity(of: "") ?? Identity(user: "", rights: .nothing) }
        guard let user = snapshot.users.users[identity.user] else {
            throw ApusError.fatal(.notAllowed, "the user was removed")
        }
        var renewed = identity
        renewed.expiresAt = try expiry(identity, user, snapshot)
        renewed.rights = user.rights.filled(user: identity.user, client: identity.clientID)
        return renewed
    }

    /// - Throws: `not-allowed` where it could not log in again with what it logged in with.
    private func expiry(
        _ identity: Identity, _ user: Users.User, _ snapshot: Snapshot
    ) throws(ApusError) -> Microseconds? {
        if user.password.map(FileAccessControl.proof) == identity.proof { return nil }
        if user.certificates.contains(where: { FileAccessControl.proof(certificate: $0) == identity.proof }) {
            return nil
        }
        guard let token = user.tokens.first(where: { FileAccessControl.proof($0) == identity.proof }) else {
            throw ApusError.fatal(.notAllowed, "what this user logged in with is not valid any more")
        }
        guard !token.isExpired(at: clock()) else { throw ApusError.fatal(.notAllowed, "the token has expired") }
        return token.expires
    }
}

/// Passwords that were right a while ago, so that a door whose every request carries one does not pay for it each time.
/// Only what a key of this process makes of them is kept, and only until the file is read again. Bounded.
private struct VerifiedPasswords: Sendable {
    private static let countMax = 4_096
    private let key = SymmetricKey(size: .bits256)
    private var codes: Set<[UInt8]> = []

    func contains(_ password: Secret, _ hash: PasswordHash) -> Bool { codes.contains(code(password, hash)) }

    mutating func insert(_ password: Secret, _ hash: PasswordHash) {
        if codes.count >= VerifiedPasswords.countMax { codes.removeAll(keepingCapacity: true) }
        codes.insert(code(password, hash))
    }

    private func code(_ password: Secret, _ hash: PasswordHash) -> [UInt8] {
        Array(HMAC<SHA256>.authenticationCode(for: Array("\(hash.phc)\u{0}\(password.revealed)".utf8), using: key))
    }
}
