import ApusBroker
import ApusModel
import ApusSecurity
import ApusServer
import ApusTesting
import ApusWire
import Foundation
import NIOCore
import Testing

/// A users file in a folder of its own.
final class TestUsers {
    private let folder: URL
    let file: UsersFile
    let access: FileAccessControl
    let token = Token()

    /// - Parameter rights: by user: action, allowed, denied. Every password is `secret`.
    init(_ rights: [String: [(Rights.Action, [String], [String])]], admins: Set<String> = []) throws {
        folder = FileManager.default.temporaryDirectory.appendingPathComponent("apus-access-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        file = UsersFile(path: folder.appendingPathComponent("users.yaml").path)
        try file.change(creates: true) { (users) throws(ApusError) in
            for (name, list) in rights {
                let template = try TestUsers.template(list, isAdmin: admins.contains(name))
                guard !name.isEmpty else {
                    users.anonymous = template
                    continue
                }
                var user = Users.User()
                user.password = try PasswordHash(of: "secret", cost: .init(logN: 4))
                user.rights = template
                users.users[name] = user
            }
        }
        access = try FileAccessControl(path: file.path)
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    private static func template(
        _ list: [(Rights.Action, [String], [String])], isAdmin: Bool = false
    ) throws(ApusError) -> RightsTemplate {
        var template = RightsTemplate(isAdmin: isAdmin)
        for (action, allow, deny) in list {
            template[action].allow = try allow.map { (text) throws(ApusError) in try FilterPattern(text) }
            template[action].deny = try deny.map { (text) throws(ApusError) in try FilterPattern(text) }
        }
        return template
    }

    func change(_ broker: Broker, _ body: (inout Users) throws(ApusError) -> Void) throws {
        try file.change(body)
        try access.reload()
        broker.accessChanged()
    }

    func setRights(
        _ broker: Broker, of name: String, _ list: [(Rights.Action, [String], [String])], isAdmin: Bool = false
    ) throws {
        try change(broker) { (users) throws(ApusError) in
            users.users[name]?.rights = try TestUsers.template(list, isAdmin: isAdmin)
        }
    }
}

extension TestBroker {
    func user(_ name: String, _ way: Way = .json, password: Secret = "secret") throws -> ScriptedPeer {
        let peer = try peer(way)
        _ = try peer.hello { ($0.user, $0.password) = (name, password) }
        return peer
    }
}

/// anna may do everything, otto may do nothing with what is secret, admin may ask for the status.
private func withUsers(
    _ store: any LogStore & LogQueries = MemoryStore(), anonymous: Bool = false,
    limits: Limits = .with { _ in }, _ body: @escaping (TestBroker, TestUsers) throws -> Void
) async throws {
    let narrow: [(Rights.Action, [String], [String])] = Rights.Action.allCases.map { ($0, ["#"], ["secret/#"]) }
    let users = try TestUsers(
        [
            "anna": Rights.Action.allCases.map { ($0, ["#"], []) }, "otto": narrow, "admin": [], "nobody": [],
            "": [(.subscribe, ["open/#"], [])],
        ], admins: ["admin"])
    let configuration = Broker.Configuration.with {
        $0.access = users.access
        $0.listeners = [
            ListenerConfiguration(.tcp(host: "127.0.0.1", port: 0), allowsAnonymous: anonymous)
        ]
    }
    try await withBroker(store, limits: limits, configuration: configuration) { broker in try body(broker, users) }
}

@Suite("Logging in")
struct LoginTests {
    @Test(
        "with a password or a token is answered with a welcome, in both ways of speaking",
        arguments: [Way.json, .compact])
    func logsIn(way: Way) async throws {
        try await withUsers { broker, users in
            let token = users.token
            try users.change(broker.broker) {
                $0.users["anna"]?.tokens = [Users.TokenRecord(id: token.id, hash: token.hash)]
            }
            let byPassword = try broker.user("anna", way)
            try byPassword.publish("secret/a", "1")
            #expect(try byPassword.published().lastID == 1)
            let byToken = try broker.peer(way)
            _ = try byToken.hello { $0.token = token.text }
            try byToken.publish("secret/a", "2")
            #expect(try byToken.published().lastID == 1)
        }
    }

    @Test("wrongly ends the connection with the same words, and what was sent behind it is not followed")
    func refuses() async throws {
        try await withUsers { broker, _ in
            var messages: Set<String> = []
            for (user, password) in [("anna", "wrong"), ("who", "secret"), ("admin", "")] as [(String, Secret)] {
                let peer = try broker.peer()
                var hello = Hello()
                (hello.user, hello.password) = (user, password)
                try peer.send(.hello(hello))
                try peer.publish("open/a", "x")
                let error = try peer.error().error
                #expect(error.code == .notAllowed)
                #expect(error.isFatal)
                messages.insert(error.description)
                #expect(try peer.next("the end") == nil)
            }
            #expect(messages.count == 1)
            let reader = try broker.user("anna")
            try reader.subscribe("#", from: .start)
            try reader.subscribed()
            guard case .caughtUp? = try reader.next() else {
                Issue.record("something was recorded")
                return
            }
        }
    }

    @Test("wrongly is told in the log: who, from where, never a secret; once a minute at notice")
    func isLogged() async throws {
        let users = try TestUsers(["anna": []])
        let log = RecordingLog()
        try await withBroker(
            configuration: .with {
                $0.access = users.access
                $0.logger = log.logger
            }
        ) { broker in
            for user in ["anna", "apus_12345678_a-token"] {
                let peer = try broker.peer()
                var hello = Hello()
                (hello.user, hello.password) = (user, "geheim")
                try peer.send(.hello(hello))
                #expect(try peer.error().error.code == .notAllowed)
            }
            let lines = log.lines.filter { $0.contains("a login was refused") }
            #expect(lines.map { String($0.prefix { $0 != " " }) } == ["notice", "info"])
            #expect(lines.first?.contains("user=anna") == true && lines.first?.contains("peer=127.0.0.1") == true)
            #expect(lines.first?.contains("the password is wrong") == true)
            #expect(lines.last?.contains("there is no such user") == true)
            #expect(log.lines.allSatisfy { !$0.contains("geheim") && !$0.contains("a-token") })
        }
    }

    @Test("is needed before anything else, where no anonymous peers are let in")
    func isNeeded() async throws {
        try await withUsers { broker, _ in
            let publisher = try broker.peer()
            try publisher.publish("open/a", "x")
            #expect(try publisher.rest() == ["error not-allowed"])
            let subscriber = try broker.peer(.compact)
            try subscriber.subscribe("open/a")
            #expect(try subscriber.rest() == ["error not-allowed"])
            let named = try broker.peer()
            var hello = Hello()
            hello.user = "anna"
            try named.send(.hello(hello))
            #expect(try named.rest() == ["error not-allowed"])
        }
    }

    @Test("is not needed where they are: they have the rights of the anonymous entry")
    func anonymous() async throws {
        try await withUsers(anonymous: true) { broker, users in
            let peer = try broker.peer()
            try peer.subscribe("open/#")
            try peer.subscribed()
            try peer.publish("open/a", "x")
            guard case .caughtUp? = try peer.next() else {
                Issue.record("no caught-up")
                return
            }
            #expect(try peer.code() == .notAllowed)
            let anna = try broker.user("anna")
            try anna.publish("open/a", "1")
            #expect(try peer.message().payload == "1")
            // A name without a proof is not anonymous.
            let liar = try broker.peer()
            var hello = Hello()
            hello.user = "anna"
            try liar.send(.hello(hello))
            #expect(try liar.rest() == ["error not-allowed"])
            // The entry goes: whoever is here stays and may do nothing.
            try users.change(broker.broker) { $0.anonymous = nil }
            #expect(try peer.code() == .notAllowed)
            try peer.ping()
        }
    }

    @Test("login-delay: after failures is answered later, and nobody else waits for it")
    func slowsDown() async throws {
        try await withUsers(limits: .with { $0.loginDelaySeconds = 1 }) { broker, _ in
            let clock = ContinuousClock()
            func fail(_ user: String) throws -> Duration {
                let peer = try broker.peer()
                var hello = Hello()
                (hello.user, hello.password) = (user, "wrong")
                return try clock.measure {
                    try peer.send(.hello(hello))
                    _ = try peer.rest()
                }
            }
            _ = try fail("anna")
            _ = try fail("anna")
            #expect(try fail("anna") >= .milliseconds(400), "the second delay is half a second")
            // Another user from the same address is looked at at once: the attempt in front waits meanwhile.
            let waiting = try broker.peer()
            var hello = Hello()
            (hello.user, hello.password) = ("anna", "secret")
            try waiting.send(.hello(hello))
            _ = try broker.user("otto")
            #expect(!waiting.hasInput)
            guard case .welcome? = try waiting.next() else {
                Issue.record("the right password is welcome in the end")
                return
            }
            guard case .integer(3)? = try status(broker)["logins-refused"] else {
                Issue.record("failures are not counted")
                return
            }
        }
    }

    @Test("login-delay: guessing many at once is no better than one after the other")
    func slowsManyAtOnce() async throws {
        try await withUsers(limits: .with { $0.loginDelaySeconds = 1 }) { broker, _ in
            let peers = try (0..<24).map { _ in try broker.peer() }
            var hello = Hello()
            (hello.user, hello.password) = ("anna", "wrong")
            for peer in peers { try peer.send(.hello(hello)) }
            let answers = try peers.flatMap { try $0.rest() }
            #expect(answers.count == 24)
            // On each thread one, and four that wait for their turn; the others are not looked at.
            #expect(answers.filter { $0 == "error not-allowed" }.count <= 8, "\(answers)")
            #expect(answers.contains("error busy"))
        }
    }

    @Test("gives no publisher's name to who may not publish anything")
    func namesNeedRights() async throws {
        try await withUsers { broker, _ in
            let peer = try broker.peer()
            var hello = Hello()
            (hello.user, hello.password, hello.publisher) = ("nobody", "secret", "p")
            try peer.send(.hello(hello))
            #expect(try peer.code() == .notAllowed)
        }
    }

    private func status(_ broker: TestBroker) throws -> JSON {
        let admin = try broker.user("admin")
        try admin.send(.query(Query(query: 1, select: .status)))
        guard case .row(let row)? = try admin.next() else { throw WaitedTooLong("a status row") }
        return try JSONParser.parse(String(buffer: row.content))
    }

    @Test("makes a publisher's name that user's own, whatever hello claims")
    func publisherNames() async throws {
        let log = try TemporaryLog()
        try await withUsers(try log.open()) { broker, _ in
            func publisher(_ user: String) throws -> (ScriptedPeer, UInt64?) {
                let peer = try broker.peer(.compact)
                let welcome = try peer.hello { ($0.user, $0.password, $0.publisher) = (user, "secret", "p") }
                return (peer, welcome.lastID)
            }
            let (anna, _) = try publisher("anna")
            try anna.publish("open/a", "1")
            _ = try anna.published()
            let (otto, lastID) = try publisher("otto")
            #expect(lastID == 0)
            try otto.publish("open/a", "2")
            #expect(try otto.published().isDuplicate == false)
            try anna.publish("open/a", "3")
            #expect(try anna.published().lastID == 2, "the other user's connection has not fenced this one")
        }
    }

    @Test("with a token ends when the token does")
    func tokenEnds() async throws {
        try await withUsers { broker, users in
            let token = users.token
            var now = timespec()
            clock_gettime(CLOCK_REALTIME, &now)
            let expires = Microseconds(now.tv_sec + 2) * 1_000_000
            try users.change(broker.broker) {
                $0.users["anna"]?.tokens = [Users.TokenRecord(id: token.id, hash: token.hash, expires: expires)]
            }
            let peer = try broker.peer()
            _ = try peer.hello { $0.token = token.text }
            try peer.subscribe("#")
            let error = try peer.error().error
            #expect(error.code == .notAllowed && error.isFatal && error.message.contains("expired"))
            #expect(try peer.next("the end") == nil)
            let late = try broker.peer()
            var hello = Hello()
            hello.token = token.text
            try late.send(.hello(hello))
            #expect(try late.rest() == ["error not-allowed"])
        }
    }
}

@Suite("Rights over a connection")
struct RightsTests {
    /// Three messages, of which the second is secret.
    private func withMessages(_ body: @escaping (TestBroker, TestUsers) throws -> Void) async throws {
        let log = try TemporaryLog()
        try await withUsers(try log.open()) { broker, users in
            let anna = try broker.user("anna", .compact)
            for (index, topic) in ["open/a", "secret/a", "open/b"].enumerated() {
                try anna.publish(topic, "\(index + 1)")
            }
            try anna.published(through: 3)
            try body(broker, users)
        }
    }

    private func rows(_ peer: ScriptedPeer, _ query: Query) throws -> [String] {
        try peer.send(.query(query))
        var rows: [String] = []
        while let frame = try peer.nextOwed("a row") {
            rows.append(ScriptedPeer.text(frame))
            if case .row(let row) = frame {
                if row.message == nil { rows[rows.count - 1] = String(buffer: row.content) }
                continue
            }
            break
        }
        return rows
    }

    @Test("refuse a publish to a topic that is not granted, each by itself", arguments: [Way.json, .compact])
    func publish(way: Way) async throws {
        try await withUsers { broker, _ in
            let otto = try broker.user("otto", way)
            try otto.publish("open/a", "1")
            try otto.publish("secret/a", "2")
            try otto.publish("secret/a", "3")
            try otto.publish("open/a", "4")
            var refused: [UInt64] = []
            var published: UInt64 = 0
            // How many runs there are depends on how the broker got to read them.
            while published < 2 {
                let frame = try otto.nextOwed("an answer")
                switch frame {
                case .published(let run): published += run.count
                case .error(let reply) where reply.error.code == .notAllowed && !reply.error.isFatal:
                    // Those that follow each other may be told as one: the last of so many.
                    let last = try #require(reply.id)
                    refused += (last - max(1, reply.count) + 1)...last
                default: throw ScriptedPeer.Unexpected(frame, instead: "an answer")
                }
            }
            #expect(refused == [2, 3])
            // Nobody publishes to the broker's own topics.
            let anna = try broker.user("anna", way)
            try anna.publish("$SYS/a", "x")
            #expect(try anna.code() == .notAllowed)
        }
    }

    @Test("keep foreign messages out of a subscription: live, from the start, and beside one who sees all")
    func subscribe() async throws {
        try await withMessages { broker, _ in
            let otto = try broker.user("otto")
            let anna = try broker.user("anna")
            let publisher = try broker.user("anna", .compact)
            for peer in [otto, anna] {
                try peer.subscribe("#", from: .start)
                try peer.subscribe("secret/#", "open/+", number: 2, from: .last(1))
            }
            for index in 4...9 {
                try publisher.publish(index.isMultiple(of: 2) ? "secret/x" : "open/x", "\(index)")
            }
            try publisher.published(through: 6)
            var seen: [String] = []
            while seen.count < 9 { seen.append(try anna.message().payload) }
            var narrow: [String] = []
            while narrow.filter({ $0 == "9" }).count < 2 {
                let message = try otto.message()
                #expect(!message.topic.hasPrefix("secret"))
                narrow.append(message.payload)
            }
            #expect(Set(narrow) == ["1", "3", "5", "7", "9"])
            try otto.subscribe("secret/#", number: 3, from: .start)
            let error = try otto.error()
            #expect(error.error.code == .notAllowed && error.subscription == 3 && !error.error.isFatal)
            try otto.subscribe("$SYS/#", number: 4)
            #expect(try otto.code() == .notAllowed)
            // The number is free again.
            try otto.subscribe("open/b", number: 3, from: .start)
            #expect(try otto.message().payload == "3")
        }
    }

    @Test("keep foreign retained messages out")
    func retained() async throws {
        let log = try TemporaryLog()
        try await withUsers(try log.open()) { broker, _ in
            let anna = try broker.user("anna")
            for topic in ["open/a", "secret/a"] {
                try anna.send(
                    json: #"{"topic":"\#(topic)","retain":true,"content-length":1}"#, "x")
                _ = try anna.published()
            }
            let otto = try broker.user("otto")
            try otto.subscribe("+/a", from: .lastPerTopic)
            #expect(try otto.message().topic == "open/a")
            try anna.publish("open/a", "live")
            #expect(try otto.message().payload == "live")
        }
    }

    @Test("keep foreign rows out of history, of a single message, and of topics", arguments: [Way.json, .compact])
    func queries(way: Way) async throws {
        try await withMessages { broker, _ in
            let otto = try broker.user("otto", way)
            var history = Query(query: 1, select: .history)
            #expect(try rows(otto, history) == ["row 1 1", "row 1 3", "end 1 2 complete"])
            (history.conditions.fromSeq, history.conditions.toSeq) = (2, 2)
            #expect(try rows(otto, history) == ["end 1 0 complete"], "as if there were no such message")
            var foreign = Query(query: 1, select: .history)
            foreign.filters = [try TopicFilter("secret/a")]
            #expect(try rows(otto, foreign) == ["error not-allowed"])
            let topics = try rows(otto, Query(query: 1, select: .topics))
            #expect(topics.count == 3 && !topics.contains { $0.contains("secret") })
            let all = try rows(try broker.user("anna", way), Query(query: 1, select: .topics))
            #expect(all.count == 4)
            #expect(try rows(try broker.user("nobody", way), Query(query: 1, select: .topics)) == ["error not-allowed"])
        }
    }

    @Test("to the status are an administrator's")
    func status() async throws {
        try await withUsers { broker, _ in
            for user in ["anna", "nobody"] {
                #expect(try rows(try broker.user(user), Query(query: 1, select: .status)) == ["error not-allowed"])
            }
            let admin = try rows(try broker.user("admin"), Query(query: 1, select: .status))
            #expect(admin.last == "end 1 1 complete")
        }
    }

    @Test("that change hold at once, and drop no connection")
    func change() async throws {
        try await withMessages { broker, users in
            let otto = try broker.user("otto")
            try otto.subscribe("#", from: .start)
            try otto.subscribe("open/#", number: 2)
            #expect(try Set([otto.message().payload, otto.message().payload]) == ["1", "3"])
            try otto.publish("open/a", "4")
            _ = try otto.published()
            try users.setRights(
                broker.broker, of: "otto", [(.subscribe, ["secret/#"], []), (.publish, ["secret/#"], [])])
            // The second subscription has nothing left; the first goes on with other topics.
            var error = try otto.next()
            while case .message? = error { error = try otto.next() }
            while case .caughtUp? = error { error = try otto.next() }
            guard case .error(let reply)? = error else {
                Issue.record("\(String(describing: error)) instead of an error")
                return
            }
            #expect(reply.subscription == 2 && reply.error.code == .notAllowed && !reply.error.isFatal)
            try otto.publish("open/a", "5")
            #expect(try otto.code() == .notAllowed)
            let anna = try broker.user("anna")
            try anna.publish("open/a", "6")
            try anna.publish("secret/a", "7")
            try anna.published(through: 2)
            #expect(try otto.message().payload == "7")
            var history = Query(query: 1, select: .history)
            history.limit = 1
            #expect(try rows(otto, history) == ["error not-allowed"])
        }
    }

    @Test("that change end a query that showed more, and no other")
    func changeUnderQueries() async throws {
        try await withMessages { broker, users in
            let anna = try broker.user("anna")
            let otto = try broker.user("otto")
            for peer in [anna, otto] {
                var query = Query(query: 1, select: .history)
                query.credit = 1
                try peer.send(.query(query))
                #expect(try peer.next().map(ScriptedPeer.text) == "row 1 1")
            }
            try users.setRights(broker.broker, of: "anna", [(.history, ["open/#"], [])])
            #expect(try anna.code() == .notAllowed)
            try otto.send(.credit(Credit(target: .query(1), credit: 9)))
            #expect(try otto.next().map(ScriptedPeer.text) == "row 1 3")
        }
    }

    @Test("of a user who is gone are none: the connection ends, and says why")
    func removal() async throws {
        try await withUsers { broker, users in
            let otto = try broker.user("otto")
            let anna = try broker.user("anna")
            try otto.subscribe("#")
            try otto.subscribed()
            try users.change(broker.broker) { $0.users["otto"] = nil }
            let error = try otto.error().error
            #expect(error.code == .notAllowed && error.isFatal)
            #expect(error.message == "the user was removed")
            #expect(try otto.next("the end") == nil)
            try anna.ping()
        }
    }
}
