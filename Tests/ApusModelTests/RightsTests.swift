import ApusModel
import Testing

private func rights(_ allow: [String], deny: [String] = []) throws -> TopicRights {
    func filters(_ texts: [String]) throws -> [TopicFilter] {
        try texts.map { (text) throws(ApusError) in try TopicFilter(text) }
    }
    return TopicRights(allow: try filters(allow), deny: try filters(deny))
}

@Suite("Rights on topics")
struct TopicRightsTests {
    @Test(
        "are what is allowed without what is denied",
        arguments: [
            (["#"], [], ["a", "a/b"], ["$SYS", "$SYS/a"]),
            (["#"], ["private/#"], ["a", "privat"], ["private", "private/a"]),
            (["$SYS/#"], [], ["$SYS/a"], ["a"]),
            (["a/+", "b"], ["a/x"], ["a/b", "b"], ["a/x", "a", "a/b/c"]),
            (["a"], ["a"], [], ["a"]),
            ([], [], [], ["a", "$SYS"]),
        ] as [([String], [String], [String], [String])])
    func allow(_ allow: [String], _ deny: [String], _ allowed: [String], _ others: [String]) throws {
        let rights = try rights(allow, deny: deny)
        for topic in allowed { #expect(rights.allows(try Topic(topic)), "\(topic)") }
        for topic in others { #expect(!rights.allows(try Topic(topic)), "\(topic)") }
    }

    @Test("are everything, the broker's own topics included, only where there are no users")
    func everything() throws {
        #expect(TopicRights.everything.allows(try Topic("$SYS/a")))
        #expect(TopicRights.everything.mayAllow(try TopicFilter("$SYS/#")))
        #expect(try rights(["#"]) != .everything)
        #expect(!TopicRights.nothing.allows(try Topic("a")))
        #expect(TopicRights.nothing != .everything)
    }

    @Test(
        "leave nothing of a filter that they do not meet, or that is denied as a whole",
        arguments: [
            ("a/#", ["a/b"], [], true), ("a/#", ["b/#"], [], false), ("#", ["a"], [], true),
            ("#", ["$SYS/#"], [], false), ("+/b", ["a/#"], [], true), ("+/b", ["a/#"], ["+/b"], false),
            ("a/#", ["#"], ["a/+"], true), ("a/+", ["#"], ["a/#"], false), ("private/x", ["#"], ["private/#"], false),
            ("#", ["a"], ["a"], false), ("#", ["#"], ["+/#"], false), ("a", [], [], false),
        ] as [(String, [String], [String], Bool)])
    func mayAllow(_ filter: String, _ allow: [String], _ deny: [String], _ expected: Bool) throws {
        #expect(try rights(allow, deny: deny).mayAllow(try TopicFilter(filter)) == expected)
    }

    @Test("are irrelevant for filters of which they allow everything, and then those share what is read")
    func irrelevant() throws {
        let news = [try TopicFilter("news/#")]
        #expect(try rights(["news/#", "own/anna"]).relevant(to: news) == .everything)
        #expect(try rights(["#"], deny: ["private/#"]).relevant(to: news) == .everything)
        #expect(try rights(["#"], deny: ["+/private"]).relevant(to: news) != .everything)
        #expect(try rights(["news/a"]).relevant(to: news) != .everything)
        let everything = [try TopicFilter("#")]
        #expect(try rights(["#"]).relevant(to: everything) == .everything)
        #expect(try rights(["#"], deny: ["$SYS/#"]).relevant(to: everything) == .everything)
    }

    @Test("are reduced to what concerns the filters, so that others' rights do not keep readers apart")
    func relevantParts() throws {
        let filters = [try TopicFilter("a/#")]
        let anna = try rights(["a/b", "own/anna"], deny: ["c"]).relevant(to: filters)
        let otto = try rights(["own/otto", "a/b"], deny: ["d"]).relevant(to: filters)
        #expect(anna == otto)
        #expect(anna.hashValue == otto.hashValue)
        #expect(anna != (try rights(["a/c"]).relevant(to: filters)))
    }

    @Test("are the same in whatever order, and however often, a filter was named")
    func sameInAnyOrder() throws {
        #expect(try rights(["a", "b", "a"], deny: ["c", "d"]) == rights(["b", "a"], deny: ["d", "c"]))
        #expect(try rights(["a"], deny: ["b"]) != rights(["a", "b"]))
        #expect(try rights(["a"]) != rights(["b"]))
    }
}

@Suite("Names in rights")
struct FilterPatternTests {
    private func allowing(_ pattern: String, user: String = "anna", client: String? = "c1") throws -> String? {
        try FilterPattern(pattern).allowing(user: user, client: client)?.text
    }

    @Test("are filled in where %u and %c stand, once, and wherever in a level")
    func filled() throws {
        #expect(try allowing("sensors/%u/#") == "sensors/anna/#")
        #expect(try allowing("x-%u-%c/a") == "x-anna-c1/a")
        #expect(try allowing("%u%c%u") == "annac1anna")
        #expect(try allowing("100%/%d/%") == "100%/%d/%")
        #expect(try allowing("%u/%%c", user: "%c") == "%c/%c1", "what is filled in is not looked at again")
    }

    @Test(
        "never widen a filter: such a one allows nothing",
        arguments: ["a/b", "+", "#", "a+", "x#", "a\0b", "/", "", "$SYS"])
    func unsafe(_ name: String) throws {
        #expect(!FilterPattern.isSafe(name))
        #expect(try allowing("sensors/%u", user: name) == nil)
        #expect(try allowing("sensors/%c", client: name) == nil)
        #expect(try allowing("%u/#", user: name) == nil)
        // A filter that does not ask for it holds all the same.
        #expect(try allowing("sensors/#", user: name, client: name) == "sensors/#")
    }

    @Test("that cannot be filled in deny what every name would deny")
    func denying() throws {
        let pattern = try FilterPattern("devices/%c/x-%u/secret")
        #expect(pattern.denying(user: "anna", client: "c1")?.text == "devices/c1/x-anna/secret")
        #expect(pattern.denying(user: "anna", client: nil)?.text == "devices/+/+/secret")
        #expect(pattern.denying(user: "a/b", client: "#")?.text == "devices/+/+/secret")
        #expect(pattern.allowing(user: "anna", client: nil) == nil)
    }

    @Test("do not make a bad filter a good one", arguments: ["", "a/#/%u", "%u+", "#%c", "a\0%u"])
    func badPatterns(_ text: String) {
        #expect(code { () throws(ApusError) in _ = try FilterPattern(text) } == .invalidFilter)
    }

    @Test("make rights out of a template, action by action")
    func template() throws {
        var template = RightsTemplate(isAdmin: true)
        template[.publish].allow = [try FilterPattern("s/%u")]
        template[.publish].deny = [try FilterPattern("s/otto")]
        template[.history].allow = [try FilterPattern("h/%c")]
        #expect(template.namesClient)
        let anna = template.filled(user: "anna", client: "c1")
        #expect(anna.isAdmin)
        #expect(anna.allows(.publish, try Topic("s/anna")))
        #expect(!anna.allows(.publish, try Topic("s/otto")))
        #expect(!template.filled(user: "otto", client: nil).allows(.publish, try Topic("s/otto")))
        #expect(!anna.allows(.subscribe, try Topic("s/anna")))
        #expect(anna.allows(.history, try Topic("h/c1")))
        #expect(!template.filled(user: "anna", client: nil).allows(.history, try Topic("h/c1")))
    }
}

@Suite("A secret")
struct SecretTests {
    @Test("is in no description, no debug description, no mirror and no dump")
    func redacted() {
        struct Holder { var password: Secret? = "hunter2" }
        let secret: Secret = "hunter2"
        var dumped = ""
        dump(Holder(), to: &dumped)
        for text in ["\(secret)", String(reflecting: secret), String(describing: Holder()), dumped, "\([secret])"] {
            #expect(!text.contains("hunter2"), "\(text)")
        }
        #expect(secret.revealed == "hunter2")
    }
}
