import ApusModel
import ApusTesting
import Logging
import NIOCore
import Testing

@testable import ApusBroker

private func rights(_ allow: [String], deny: [String] = []) throws -> TopicRights {
    TopicRights(
        allow: try allow.map { (text) throws(ApusError) in try TopicFilter(text) },
        deny: try deny.map { (text) throws(ApusError) in try TopicFilter(text) })
}

private func odd(below end: Seq) -> [Seq] { Array(stride(from: 1, to: end, by: 2)) }

@Suite("A restricted reader")
struct RestrictionTests {
    @Test("sees what is asked for and allowed; where that is nothing there is no set at all")
    func restricts() throws {
        let asked = try filters("a/#", "b")
        let set = try #require(asked.restricted(to: try rights(["a/b", "c"])))
        #expect(set.filters.map(\.text) == ["a/#"], "what can never match is left out")
        #expect(set.matches(try Topic("a/b")))
        #expect(!set.matches(try Topic("a/c")))
        #expect(!set.matches(try Topic("b")))
        #expect(!set.matches(try Topic("c")))
        #expect(asked.restricted(to: try rights(["d"])) == nil)
        #expect(asked.restricted(to: .nothing) == nil)
        #expect(asked.restricted(to: .everything) == asked)
    }

    @Test("that names no filter asks for what is allowed, and never for the broker's own topics")
    func restrictsEverything() throws {
        let set = try #require(FilterSet.all.restricted(to: try rights(["#"], deny: ["x"])))
        #expect(!set.isEverything)
        #expect(set.matches(try Topic("a")))
        #expect(!set.matches(try Topic("x")))
        #expect(!set.matches(try Topic("$SYS/a")))
        #expect(FilterSet.all.restricted(to: .nothing) == nil)
    }

    @Test("of whom nothing is kept back is the same reader as one without restriction")
    func sharesWhereNothingIsKeptBack() throws {
        let asked = try filters("news/#")
        #expect(asked.restricted(to: try rights(["news/#", "own/anna"])) == asked)
        #expect(asked.restricted(to: try rights(["news/a"])) != asked)
    }

    @Test("gets only what is allowed, live and behind the tail, beside one who sees everything")
    func deliversAllowed() throws {
        var limits = Limits.defaults
        limits.tailBytesMax = 2_000
        let bench = HubBench(limits: limits)
        for _ in 0..<50 { try bench.commit(["a/open", "a/secret"], payload: String(repeating: "x", count: 100)) }
        let full = ScriptedOutlet()
        let narrow = ScriptedOutlet()
        let set = try #require(try filters("a/#").restricted(to: try rights(["#"], deny: ["a/secret"])))
        try bench.subscribe(["a/#"], from: .start, outlet: full)
        try bench.subscribe(set, from: .start, outlet: narrow)
        try bench.settle()
        for _ in 0..<20 { try bench.commit(["a/open", "a/secret"]) }
        bench.turn()
        try bench.settle()
        #expect(full.messages == Array(1...140))
        #expect(narrow.messages == odd(below: 140))
    }

    @Test("shares pages with those who see the same, and only with those")
    func sharesPages() throws {
        let bench = HubBench()
        for _ in 0..<100 { try bench.commit(["a/open", "a/secret"]) }
        let set = try #require(try filters("a/#").restricted(to: try rights(["a/open"])))
        let narrow = (0..<5).map { _ in ScriptedOutlet() }
        let full = (0..<5).map { _ in ScriptedOutlet() }
        for index in 0..<5 {
            try bench.subscribe(["a/#"], from: .start, outlet: full[index])
            try bench.subscribe(set, from: .start, outlet: narrow[index])
        }
        try bench.settle()
        #expect(full.allSatisfy { $0.messages == Array(1...200) })
        #expect(narrow.allSatisfy { $0.messages == odd(below: 200) })
        #expect(bench.store.pagesRead <= 4, "a page for either kind of reader")
    }

    @Test("shares encoded chunks with those who see the same, and only with those")
    func sharesChunks() throws {
        let bench = HubBench()
        let set = try #require(try filters("a/#").restricted(to: try rights(["a/open"])))
        let narrow = [ScriptedOutlet(), ScriptedOutlet()]
        let full = [ScriptedOutlet(), ScriptedOutlet()]
        for index in 0..<2 {
            try bench.subscribe(["a/#"], outlet: full[index])
            try bench.subscribe(set, outlet: narrow[index])
        }
        try bench.commit(["a/open", "a/secret", "a/open"])
        bench.turn()
        #expect(full.allSatisfy { $0.messages == [1, 2, 3] })
        #expect(narrow.allSatisfy { $0.messages == [1, 3] })
    }

    @Test("goes on from where it stands when its rights change, live")
    func changesLive() throws {
        let bench = HubBench()
        let outlet = ScriptedOutlet()
        let asked = try filters("a/#")
        let subscription = try bench.subscribe(asked, outlet: outlet)
        try bench.commit(["a/1", "a/2"])
        bench.turn()
        bench.hub.change(subscription, to: try #require(asked.restricted(to: try rights(["a/2"]))))
        try bench.commit(["a/1", "a/2"])
        bench.turn()
        bench.hub.change(subscription, to: asked)
        try bench.commit(["a/1", "a/2"])
        bench.turn()
        #expect(outlet.messages == [1, 2, 4, 5, 6])
        bench.unsubscribe(subscription)
        #expect(bench.cursorCount == 0)
    }

    @Test("gets nothing of a page that was read by its old rights")
    func dropsStalePages() throws {
        let bench = HubBench()
        for _ in 0..<10 { try bench.commit(["a/1", "a/2"]) }
        let outlet = ScriptedOutlet()
        let asked = try filters("a/#")
        let subscription = try bench.subscribe(asked, from: .start, outlet: outlet)
        // The start is looked up; the first page is on its way when the rights change.
        try bench.read()
        #expect(subscription.isReading)
        bench.hub.change(subscription, to: try #require(asked.restricted(to: try rights(["a/2"]))))
        try bench.settle()
        #expect(outlet.messages == Array(stride(from: Seq(2), through: 20, by: 2)))
    }
}

@Suite("Logins that wait")
struct LoginQueueTests {
    @Test("take turns by address")
    func takesTurns() {
        var queue = LoginQueue<String>(countMax: 100)
        for index in 1...3 { _ = queue.add("a\(index)", from: "a") }
        _ = queue.add("b1", from: "b")
        _ = queue.add("c1", from: "c")
        var order: [String] = []
        while let next = queue.next() { order.append(next) }
        #expect(order == ["a1", "b1", "c1", "a2", "a3"])
        #expect(queue.count == 0)
    }

    @Test("login-queue: where it is full the address with the most makes room for the others")
    func makesRoom() {
        var queue = LoginQueue<String>(countMax: 4)
        for index in 1...4 { _ = queue.add("a\(index)", from: "a") }
        guard case .refused = queue.add("a5", from: "a") else {
            Issue.record("one address fills the queue and no more")
            return
        }
        guard case .displaced("a4") = queue.add("b1", from: "b") else {
            Issue.record("another address gets its place")
            return
        }
        guard case .displaced("a3") = queue.add("b2", from: "b") else {
            Issue.record("up to its share")
            return
        }
        guard case .refused = queue.add("b3", from: "b") else {
            Issue.record("and no more")
            return
        }
        #expect(queue.count == 4)
    }
}

@Suite("Failed logins")
struct FailedLoginsTests {
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)
    private let key = FailedLogins.Key(address: "10.0.0.1", user: "anna")

    private func failures(_ recordsMax: Int = 100, delay: Int64 = 4) -> FailedLogins {
        FailedLogins(recordsMax: recordsMax, delayMax: .seconds(delay))
    }

    @Test("login-delay: make the next attempt wait, twice as long each time, up to the limit")
    func delays() {
        var failures = failures()
        var now = start
        var waits: [Int64] = []
        for _ in 0..<8 {
            guard case .begin(let wait) = failures.attempt(key, now: now) else {
                Issue.record("too many")
                return
            }
            waits.append(wait.nanoseconds / 1_000_000)
            now = now + wait
            failures.failed(key, now: now)
        }
        #expect(waits == [0, 250, 500, 1_000, 2_000, 4_000, 4_000, 4_000])
    }

    @Test("do not count against others, and are forgotten after a success or a while")
    func areForgotten() {
        var failures = failures()
        failures.failed(key, now: start)
        let other = FailedLogins.Key(address: "10.0.0.2", user: "anna")
        #expect(failures.attempt(other, now: start) == .begin(after: .zero))
        failures.succeeded(key)
        #expect(failures.attempt(key, now: start) == .begin(after: .zero))
        failures.failed(key, now: start)
        #expect(failures.attempt(key, now: start + .minutes(16)) == .begin(after: .zero))
        #expect(failures.count == 0)
    }

    @Test("make attempts at the same time wait one behind the other, and only a few of them")
    func spreadsOut() {
        var failures = failures()
        failures.failed(key, now: start)
        var waits: [Int64] = []
        for _ in 0..<4 {
            guard case .begin(let wait) = failures.attempt(key, now: start) else {
                Issue.record("too many")
                return
            }
            waits.append(wait.nanoseconds / 1_000_000)
        }
        #expect(waits == [250, 500, 750, 1_000])
        #expect(failures.attempt(key, now: start) == .tooMany)
        failures.gaveUp(key)
        #expect(failures.attempt(key, now: start) != .tooMany)
    }

    @Test("login-records: are remembered up to the limit; the oldest goes")
    func areBounded() {
        var failures = failures(10)
        for index in 0..<1_000 {
            failures.failed(
                FailedLogins.Key(address: "10.0.0.1", user: "\(index)"), now: start + .milliseconds(Int64(index)))
            #expect(failures.count <= 10)
        }
        let newest = FailedLogins.Key(address: "10.0.0.1", user: "999")
        #expect(failures.attempt(newest, now: start + .seconds(1)) != .begin(after: .zero))
    }

    @Test(
        "belong to an address, or to the half of an IPv6 address that its owner does not choose",
        arguments: [
            ("10.0.0.1", "10.0.0.1"), ("::ffff:10.0.0.1", "10.0.0.1"), ("local", "local"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"), ("2001:db8:1:2::1", "2001:db8:1:2::"),
            ("fe80::1%eth0", "fe80::"),
        ])
    func holders(_ address: String, _ holder: String) {
        #expect(Authenticator.holder(address) == holder)
    }
}

/// Counts, and waits until a test lets a check go.
private final class GatedAccess: AccessControl {
    let checks = Watched(0)
    let gate = Watched(false)

    var isOpen: Bool { false }
    var generation: UInt64 { 0 }
    func identity(of user: String) -> Identity? { nil }
    func authenticate(_ credentials: Credentials) throws(ApusError) -> Identity {
        checks.change { $0 += 1 }
        do { try gate.wait("the gate") { $0 } } catch { throw ApusError(.internalError, "\(error)") }
        guard credentials.password == "right" else { throw ApusError(.notAllowed, "wrong") }
        return Identity(user: credentials.user ?? "", rights: .nothing)
    }
}

@Suite("The authenticator")
struct AuthenticatorTests {
    @Test("login-queue: checks no more at a time than it has threads, and refuses what waits beyond the limit as busy")
    func boundsWork() throws {
        var limits = Limits.defaults
        limits.loginQueueMax = 3
        let access = GatedAccess()
        let workers = WorkerPool()
        defer { workers.close() }
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let logins = Authenticator(access: access, workers: workers, limits: limits, logger: logger)
        onThread { workers.run() }
        let loop = ManualLoop()
        let results = Watched<[String]>([])
        func login(_ password: String, from address: String) {
            let credentials = Credentials(user: "u", password: password, peerAddress: address)
            logins.authenticate(credentials, on: loop) { result in
                switch result {
                case .success: results.change { $0.append("in") }
                case .failure(let error): results.change { $0.append(error.code.rawValue) }
                }
            }
        }
        login("right", from: "a")
        try access.checks.wait("the first check") { $0 == 1 }
        for _ in 0..<3 { login("right", from: "a") }
        login("right", from: "a")
        loop.run()
        #expect(results.value == ["busy"], "the fourth that waits")
        #expect(access.checks.value == 1, "one thread, one check")
        access.gate.change { $0 = true }
        try access.checks.wait("the others") { $0 == 4 }
        while results.value.count < 5 {
            try loop.wait(forTasks: 1)
            loop.run()
        }
        #expect(results.value.filter { $0 == "in" }.count == 4)
        #expect(logins.counts == Authenticator.Counts(accepted: 4, refused: 0, busy: 1))
    }

    /// Logs in from an address, on a loop that the test runs, with the password "right" or a wrong one.
    private final class Logins {
        let access = GatedAccess()
        let loop = ManualLoop()
        let results = Watched<[String]>([])
        let workers = WorkerPool()
        let authenticator: Authenticator

        init(queueMax: Int) {
            let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
            var limits = Limits.defaults
            limits.loginQueueMax = queueMax
            authenticator = Authenticator(access: access, workers: workers, limits: limits, logger: logger)
            access.gate.change { $0 = true }
            onThread { [workers] in workers.run() }
        }

        deinit { workers.close() }

        func attempt(_ password: String, user: String, from address: String) {
            let credentials = Credentials(user: user, password: password, peerAddress: address)
            authenticator.authenticate(credentials, on: loop) { [results] result in
                switch result {
                case .success: results.change { $0.append("in") }
                case .failure(let error): results.change { $0.append(error.code.rawValue) }
                }
            }
        }

        func settle(_ count: Int) throws {
            while results.value.count < count {
                try loop.wait(forTasks: 1)
                loop.run()
            }
        }
    }

    @Test("login-queue: as many attempts are delayed, a quarter of them from one address; others are refused as busy")
    func boundsDelays() throws {
        let logins = Logins(queueMax: 8)
        let addresses = ["a", "b", "c", "d", "e"]
        var count = 0
        for address in addresses {
            for user in ["1", "2", "3"] {
                logins.attempt("wrong", user: user, from: address)
                count += 1
                try logins.settle(count)
            }
        }
        #expect(Set(logins.results.value) == ["not-allowed"])
        for address in addresses { for user in ["1", "2", "3"] { logins.attempt("wrong", user: user, from: address) } }
        #expect(logins.authenticator.counts.busy == 7, "the third of each, and all of the last")
        try logins.settle(2 * count)
        logins.attempt("right", user: "1", from: "e")
        try logins.settle(2 * count + 1)
        #expect(logins.authenticator.counts.busy == 7)
        #expect(logins.results.value.last == "in")
    }

    @Test("A password longer than any may be is not kept until somebody looks at it")
    func boundsPasswords() throws {
        let logins = Logins(queueMax: 8)
        logins.attempt(String(repeating: "x", count: Secret.bytesMax + 1), user: "u", from: "a")
        logins.attempt(String(repeating: "x", count: Secret.bytesMax), user: "u", from: "a")
        try logins.settle(2)
        #expect(logins.results.value.sorted() == ["invalid-field", "not-allowed"])
        #expect(logins.access.checks.value == 1)
    }
}
