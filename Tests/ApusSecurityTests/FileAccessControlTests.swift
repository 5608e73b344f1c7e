import ApusBroker
import ApusModel
import ApusSecurity
import NIOConcurrencyHelpers
import Testing

@Suite("Users of a file")
struct FileAccessControlTests {
    /// A file with anna (a password, a token that ends, a certificate) and otto (a token), read at time zero.
    private struct Sample {
        let folder = try? TestFolder()
        let clock = NIOLockedValueBox<Microseconds>(0)
        let file: UsersFile
        let access: FileAccessControl
        let tokens = [Token(), Token()]

        init() throws {
            file = UsersFile(path: try #require(folder).path)
            let tokens = tokens
            try file.change(creates: true) { (users) throws(ApusError) in
                var anna = Users.User()
                anna.password = try PasswordHash(of: "secret", cost: .init(logN: 4))
                anna.tokens = [Users.TokenRecord(id: tokens[0].id, hash: tokens[0].hash, expires: 1_000)]
                anna.certificates = ["anna.example"]
                anna.rights[.publish].allow = [try FilterPattern("s/%u")]
                anna.rights[.subscribe].allow = [try FilterPattern("c/%c")]
                var otto = Users.User()
                otto.tokens = [Users.TokenRecord(id: tokens[1].id, hash: tokens[1].hash)]
                users.users = ["anna": anna, "otto": otto]
            }
            let clock = clock
            access = try FileAccessControl(path: file.path) { clock.withLockedValue { $0 } }
        }

        func login(_ credentials: Credentials) throws -> Identity { try access.authenticate(credentials) }

        func error(_ body: () throws -> Void) throws -> ApusError {
            do {
                try body()
            } catch let error as ApusError {
                return error
            }
            throw Unexpected("no error")
        }
    }

    @Test("log in with a password, a token or a certificate, and get their rights")
    func logsIn() throws {
        let sample = try Sample()
        #expect(!sample.access.isOpen)
        for credentials in [
            Credentials(user: "anna", password: "secret"), Credentials(user: "anna", password: "secret"),
            Credentials(token: sample.tokens[0].text.revealed),
            Credentials(user: "anna", token: sample.tokens[0].text.revealed),
            Credentials(certificateName: "anna.example"),
        ] {
            let identity = try sample.login(credentials)
            #expect(identity.user == "anna")
            #expect(identity.rights.allows(.publish, try Topic("s/anna")))
            #expect(!identity.rights.allows(.publish, try Topic("s/otto")))
            #expect(!identity.rights.allows(.history, try Topic("s/anna")), "what is not granted is not allowed")
        }
        let otto = try sample.login(Credentials(token: sample.tokens[1].text.revealed))
        #expect(otto.rights == Rights())
        #expect(otto.expiresAt == nil)
    }

    @Test("are told apart in the broker's log, by what is no secret")
    func explains() throws {
        let sample = try Sample()
        let (token, other) = (sample.tokens[0], sample.tokens[1])
        let wrongSecret = "apus_\(other.id)_\(Token().text.revealed.suffix(43))"
        let explained: [(Credentials, String)] = [
            (Credentials(user: "anna", password: "geheim"), "the password is wrong"),
            (Credentials(user: "apus_x_geheim", password: "x"), "there is no such user"),
            (Credentials(user: "otto", password: "geheim"), "this user has no password"),
            (Credentials(token: "geheim"), "what was sent is no token"),
            (Credentials(token: "apus_geheim_geheim"), "there is no such token"),
            (Credentials(token: wrongSecret), "the secret of the token \(other.id) of otto is wrong"),
            (Credentials(user: "anna", token: other.text.revealed), "the token \(other.id) is that of otto"),
            (Credentials(certificateName: "nobody"), "no user has this certificate"),
        ]
        for (credentials, reason) in explained { #expect(sample.access.explain(credentials) == reason) }
        sample.clock.withLockedValue { $0 = 1_000 }
        let late = sample.access.explain(Credentials(token: token.text.revealed))
        #expect(late == "the token \(token.id) of anna has expired")
    }

    @Test("are refused with the same words, whatever is wrong")
    func refuses() throws {
        let sample = try Sample()
        let expired = sample.tokens[0].text.revealed
        let wrongSecret = "apus_\(sample.tokens[1].id)_\(Token().text.revealed.suffix(43))"
        let wrong = [
            Credentials(user: "anna", password: "wrong"), Credentials(user: "nobody", password: "secret"),
            Credentials(user: "otto", password: ""), Credentials(user: "otto", password: "secret"),
            Credentials(password: "secret"), Credentials(token: "rubbish"), Credentials(token: wrongSecret),
            Credentials(token: Token().text.revealed),
            Credentials(user: "anna", token: sample.tokens[1].text.revealed),
        ]
        let errors = try wrong.map { credentials in try sample.error { _ = try sample.login(credentials) } }
        #expect(Set(errors).count == 1)
        #expect(errors[0].code == .notAllowed)
        #expect(errors[0].isFatal)
        sample.clock.withLockedValue { $0 = 1_000 }
        #expect(try sample.error { _ = try sample.login(Credentials(token: expired)) } == errors[0])
        let both = Credentials(user: "anna", password: "secret", token: expired)
        #expect(try sample.error { _ = try sample.login(both) }.code == .invalidField)
    }

    @Test("with a certificate that is not theirs are told that it is the certificate, not who has it")
    func refusesCertificates() throws {
        let sample = try Sample()
        let wrong = [
            Credentials(certificateName: "nobody.example"), Credentials(user: "otto", certificateName: "anna.example"),
            Credentials(user: "nobody", certificateName: "anna.example"),
        ]
        let errors = try wrong.map { credentials in try sample.error { _ = try sample.login(credentials) } }
        #expect(Set(errors).count == 1)
        #expect(errors[0].code == .notAllowed && errors[0].isFatal)
        #expect(errors[0].message.contains("certificate"))
    }

    @Test("whose rights refer to the client id need one that widens nothing")
    func clientIDs() throws {
        let sample = try Sample()
        let good = try sample.login(Credentials(user: "anna", password: "secret", clientID: "c1"))
        #expect(good.rights.allows(.subscribe, try Topic("c/c1")))
        for clientID in ["#", "+", "a/b", "$x"] {
            let error = try sample.error {
                _ = try sample.login(Credentials(user: "anna", password: "secret", clientID: clientID))
            }
            #expect(error.code == .invalidField)
        }
        // Whose rights do not refer to it may be called as they like.
        _ = try sample.login(Credentials(token: sample.tokens[1].text.revealed, clientID: "a/b"))
    }

    @Test("are read again; who is still there has the new rights, with the client id of then")
    func reloads() throws {
        let sample = try Sample()
        let anna = try sample.login(Credentials(user: "anna", password: "secret", clientID: "c1"))
        let before = sample.access.generation
        try sample.file.change { (users) throws(ApusError) in
            users.users["anna"]?.rights[.history].allow = [try FilterPattern("h/%c")]
        }
        #expect(try sample.access.renewed(anna).rights == anna.rights, "not read yet")
        try sample.access.reload()
        #expect(sample.access.generation == before + 1)
        let renewed = try sample.access.renewed(anna)
        #expect(renewed.rights.allows(.history, try Topic("h/c1")))
        #expect(renewed.rights.allows(.subscribe, try Topic("c/c1")))
        #expect(sample.access.identity(of: "anna")?.rights.allows(.publish, try Topic("s/anna")) == true)
        #expect(sample.access.identity(of: "nobody") == nil)
        #expect(sample.access.identity(of: "") == nil)
    }

    @Test("that are gone, or whose password, token or certificate is, may not stay")
    func endsLogins() throws {
        let sample = try Sample()
        let byPassword = try sample.login(Credentials(user: "anna", password: "secret"))
        let byToken = try sample.login(Credentials(token: sample.tokens[0].text.revealed))
        let byCertificate = try sample.login(Credentials(certificateName: "anna.example"))
        #expect(byToken.expiresAt == 1_000)
        for identity in [byPassword, byToken, byCertificate] {
            #expect(try sample.access.renewed(identity) == identity)
        }
        sample.clock.withLockedValue { $0 = 1_000 }
        #expect(try sample.error { _ = try sample.access.renewed(byToken) }.message == "the token has expired")
        sample.clock.withLockedValue { $0 = 0 }
        try sample.file.change { (users) throws(ApusError) in
            users.users["anna"]?.password = try PasswordHash(of: "secret", cost: .init(logN: 4))
            users.users["anna"]?.tokens = []
            users.users["anna"]?.certificates = ["anna2.example"]
        }
        try sample.access.reload()
        for identity in [byPassword, byToken, byCertificate] {
            #expect(try sample.error { _ = try sample.access.renewed(identity) }.code == .notAllowed)
        }
        let again = try sample.login(Credentials(user: "anna", password: "secret"))
        try sample.file.change { $0.users["anna"] = nil }
        try sample.access.reload()
        #expect(try sample.error { _ = try sample.access.renewed(again) }.message == "the user was removed")
    }

    @Test("stay as they were where the file cannot be read again")
    func badReload() throws {
        let sample = try Sample()
        let generation = sample.access.generation
        _ = try #require(sample.folder).write("users: {anna: {pasword: x}}\n")
        #expect(try sample.error { try sample.access.reload() }.code == .usage)
        #expect(sample.access.generation == generation)
        #expect(try sample.login(Credentials(user: "anna", password: "secret")).user == "anna")
    }

    @Test("that do not log in have the rights of the anonymous entry, and none without one")
    func anonymous() throws {
        let sample = try Sample()
        #expect(try sample.login(Credentials()).rights == Rights())
        try sample.file.change { (users) throws(ApusError) in
            var rights = RightsTemplate()
            rights[.subscribe].allow = [try FilterPattern("public/#")]
            users.anonymous = rights
        }
        try sample.access.reload()
        let anonymous = try sample.login(Credentials())
        #expect(anonymous.isAnonymous)
        #expect(anonymous.rights.allows(.subscribe, try Topic("public/a")))
        #expect(try sample.access.renewed(anonymous) == anonymous)
    }

    @Test("are not known by the time that a refusal takes: there is work also for a name that is nobody's")
    func sameWork() throws {
        let folder = try TestFolder()
        let file = UsersFile(path: folder.path)
        try file.change(creates: true) { (users) throws(ApusError) in
            var user = Users.User()
            user.password = try PasswordHash(of: "secret", cost: .init(logN: 10))
            users.users["anna"] = user
        }
        let access = try FileAccessControl(path: file.path)
        let clock = ContinuousClock()
        func time(_ user: String) -> Duration {
            (0..<5).map { _ in clock.measure { _ = try? access.authenticate(Credentials(user: user, password: "x")) } }
                .min() ?? .zero
        }
        let (known, unknown) = (time("anna"), time("nobody"))
        // Without that work it would be a thousand times less.
        #expect(unknown * 4 > known && known * 4 > unknown, "\(known) and \(unknown)")
    }
}
