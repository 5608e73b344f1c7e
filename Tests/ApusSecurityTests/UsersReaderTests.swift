import ApusModel
import ApusSecurity
import Testing

@Suite("The text of a users file")
struct UsersReaderTests {
    private static let hash = "$scrypt$ln=4,r=8,p=1$c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g"
    private static let token = "sha256:" + String(repeating: "ab", count: 32)

    private func read(_ text: String) throws -> Users {
        let folder = try TestFolder()
        let path = try folder.write(text)
        return try UsersFile(path: path).load()
    }

    private func error(_ text: String) throws -> ApusError {
        do {
            _ = try read(text)
        } catch let error as ApusError {
            return error
        }
        throw Unexpected("no error")
    }

    @Test("may be written by hand, with comments, short lists and empty entries")
    func readsByHand() throws {
        let users = try read(
            """
            # who is who
            users:
              anna:            # a person
                password: \(UsersReaderTests.hash)
                admin: true
                publish: ["s/%u", t/#]
                subscribe:
                  allow: ['#']
                  deny:
                    - secret/#
              "otto von":
              123:
                certificates: [otto.example]
                tokens:
                  - id: abc
                    hash: \(UsersReaderTests.token)
                    expires: 2027-01-01T00:00:00Z
            anonymous:
              history: [public/#]
            """)
        #expect(Set(users.users.keys) == ["anna", "otto von", "123"])
        let anna = try #require(users.users["anna"])
        #expect(anna.password?.phc == UsersReaderTests.hash)
        #expect(anna.rights.isAdmin)
        #expect(anna.rights[.publish].allow.map(\.text) == ["s/%u", "t/#"])
        #expect(anna.rights[.subscribe].deny.map(\.text) == ["secret/#"])
        #expect(users.users["otto von"] == Users.User())
        #expect(users.users["123"]?.certificates == ["otto.example"])
        #expect(users.users["123"]?.tokens.first?.expires == Timestamp.parse("2027-01-01T00:00:00Z"))
        #expect(users.anonymous?[.history].allow.map(\.text) == ["public/#"])
    }

    @Test("may be empty: then nobody may do anything", arguments: ["", "# nobody\n", "users:\n", "users: {}\n"])
    func empty(_ text: String) throws {
        #expect(try read(text) == Users())
    }

    @Test(
        "names the line of every fault",
        arguments: [
            ("users:\n  anna:\n    pasword: x\n", 3, "pasword"),
            ("users:\n  anna:\n    password: plain\n", 3, "hashed"),
            ("user:\n  anna:\n", 1, "user"),
            ("users:\n  a/b: {}\n", 2, "filter"),
            ("users:\n  $SYS: {}\n", 2, "filter"), ("users:\n  'a:b': {}\n", 2, "colon"),
            ("users:\n  anonymous: {}\n", 2, "everybody"),
            ("users:\n  anna:\n    publish: ['a/#/b']\n", 3, "'#'"),
            ("users:\n  anna:\n    publish:\n      - a\n      - '%u+'\n", 5, "wildcard"),
            ("users:\n  anna:\n    publish: a\n", 3, "no list"),
            ("users:\n  anna:\n    publish: {permit: [a]}\n", 3, "permit"),
            ("users:\n  anna:\n    admin: perhaps\n", 3, "admin"),
            ("users: [anna]\n", 1, "names"),
            ("anonymous:\n  password: x\n", 2, "password"),
            ("users:\n  anna:\n    tokens:\n      - id: x\n        hash: y\n", 4, "hash"),
            ("users:\n  anna:\n    tokens:\n      - hash: y\n", 4, "id"),
            ("users:\n  anna: {}\n  bert: {}\n  anna: {}\n", nil, "anna"),
            ("users:\n  anna: [\n", nil, ""),
            ("users:\n\tanna: {}\n", 2, ""),
        ] as [(String, Int?, String)])
    func faults(_ text: String, _ line: Int?, _ part: String) throws {
        let error = try error(text)
        #expect(error.code == .usage)
        #expect(error.message.contains("users.yaml"), "\(error.message)")
        if let line { #expect(error.message.contains("users.yaml:\(line):"), "\(error.message)") }
        #expect(error.message.contains(part), "\(error.message)")
    }

    @Test("is not shown in errors: hashes stand in it")
    func showsNoHashes() throws {
        for text in [
            "users:\n  anna:\n    password: \(UsersReaderTests.hash)x=\n",
            "users:\n  anna:\n    password: \(UsersReaderTests.hash)\n  bert: [\n",
            "users:\n  anna: {password: \(UsersReaderTests.hash)\n",
        ] {
            let error = try error(text)
            #expect(!"\(error)".contains("aGFzaGhhc2"), "\(error)")
        }
    }

    @Test("refuses two tokens of one id, which would be one token of two users")
    func tokenTwice() throws {
        let token = "tokens: [{id: abc, hash: \"\(UsersReaderTests.token)\"}]"
        #expect(try error("users:\n  anna:\n    \(token)\n  bert:\n    \(token)\n").message.contains("abc"))
    }

    @Test("comes back as it was written, whatever names and notes are in it")
    func roundTrip() throws {
        var users = Users()
        for (index, name) in ["anna", "ö \"'\\ ", "null", "1", "true", "{", "a = b", "- x", "\u{85}\u{2028}x"]
            .enumerated()
        {
            var user = Users.User()
            if index.isMultiple(of: 2) { user.password = try PasswordHash(of: "x", cost: .init(logN: 4)) }
            user.tokens = [
                Users.TokenRecord(
                    id: "t\(index)", hash: Token().hash, note: "for \(name)\n\u{1F600}",
                    created: 1_700_000_000_000_000, expires: index.isMultiple(of: 3) ? 1_800_000_000_000_000 : nil)
            ]
            user.certificates = [name]
            user.rights[.publish].allow = [try FilterPattern("a/\(name)/%u")]
            user.rights[.subscribe].deny = [try FilterPattern("b/#")]
            user.rights.isAdmin = index == 3
            users.users[name] = user
        }
        users.anonymous = RightsTemplate()
        let folder = try TestFolder()
        let file = UsersFile(path: folder.path)
        try file.change(creates: true) { $0 = users }
        #expect(try file.load() == users)
        users.anonymous?[.history].allow = [try FilterPattern("#")]
        try file.change { $0 = users }
        #expect(try file.load() == users)
    }
}
