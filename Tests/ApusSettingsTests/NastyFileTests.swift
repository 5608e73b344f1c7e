import ApusModel
import ApusSettings
import Testing

@Suite("A configuration file")
struct NastyFileTests {
    @Test(
        "that holds nothing is fine",
        arguments: [
            "", "\n", "# only a comment", "---", "--- {}", "~", "null", "{}", "\u{FEFF}", "%YAML 1.1\n---\n",
            "listeners:\nlimits:\nhttp:\nlog:\n", "limits: {}", "limits: ~", "\r\n\r\n",
        ])
    func nothing(text: String) {
        #expect(problems(text) == [])
    }

    @Test(
        "says where it is wrong, and how",
        arguments: [
            // Not a map.
            ("- a", ["apus.yaml:1: a configuration is a map, KEY: VALUE a line; this is a list"]),
            ("\nhello", ["apus.yaml:2: a configuration is a map, KEY: VALUE a line; this is \"hello\""]),
            ("[[[]]]", ["apus.yaml:1: a configuration is a map, KEY: VALUE a line; this is a list"]),
            // Several documents.
            ("db: a\n---\ndb: b", ["apus.yaml:2: a second document begins here; one file is one document"]),
            ("db: a\n...\n---\n{}", ["apus.yaml:3: a second document begins here; one file is one document"]),
            // Keys.
            ("dp: x", ["apus.yaml:1: dp: there is no such option; did you mean db?"]),
            ("Db: x", ["apus.yaml:1: Db: there is no such option; did you mean db?"]),
            ("log: {lvel: x}", ["apus.yaml:1: log.lvel: there is no such option; did you mean level?"]),
            ("log-level: x", ["apus.yaml:1: log-level: did you mean log.level? level stands below log"]),
            (
                "max-connections: 1",
                [
                    "apus.yaml:1: max-connections: did you mean limits.max-connections? max-connections stands below limits"
                ]
            ),
            (
                "max-conections: 1",
                ["apus.yaml:1: max-conections: there is no such option; did you mean limits.max-connections?"]
            ),
            (
                "limits: {db: x}",
                ["apus.yaml:1: limits.db: db belongs to the whole configuration: write it without indentation"]
            ),
            (
                "http: {port: 1}",
                ["apus.yaml:1: http.port: there is no such option in http; there are address, anonymous-metrics"]
            ),
            ("listen: x", ["apus.yaml:1: listen: there is no such option; did you mean listeners?"]),
            (
                "log.level: info",
                ["apus.yaml:1: log.level: did you mean log.level? level stands below log"]
            ),
            ("? [a, b]\n: 1", ["apus.yaml:1: a key is a name, this is a list"]),
            ("? {a: b}\n: 1", ["apus.yaml:1: a key is a name, this is a map"]),
            (
                "a: &a {level: info}\nlog:\n  <<: *a",
                [
                    "apus.yaml:1: a: there is no such option; there are db, users, allow-anonymous, default-topic, "
                        + "event-loops, migrate, listeners, http, log, limits",
                    "apus.yaml:3: log.<<: merge keys are not read; write an alias (*name) behind each key",
                ]
            ),
            // The same key twice, three times, quoted, in flow.
            ("db: a\ndb: b", ["apus.yaml:2: db: stands here once more; it is already in line 1"]),
            (
                "db: a\nusers: u\n'db': b\n\"db\": c",
                [
                    "apus.yaml:3: db: stands here once more; it is already in line 1",
                    "apus.yaml:4: db: stands here once more; it is already in line 3",
                ]
            ),
            (
                "log: {level: info,\n  level: info}\nevent-loops: x\nlog: {}",
                [
                    "apus.yaml:2: log.level: stands here once more; it is already in line 1",
                    "apus.yaml:3: event-loops: \"x\" is not a number of threads: write a whole number",
                    "apus.yaml:4: log: stands here once more; it is already in line 1",
                ]
            ),
            // Types.
            ("db: [a]", ["apus.yaml:1: db: is text, not a list"]),
            ("db: {a: b}", ["apus.yaml:1: db: is text, not a map"]),
            ("db:", ["apus.yaml:1: db: there is no value; leave the line out for the default"]),
            ("db: ~", ["apus.yaml:1: db: there is no value; leave the line out for the default"]),
            ("db: ''", ["apus.yaml:1: db: is empty, it is the name of a file"]),
            ("db: 5", ["apus.yaml:1: db: is 5, it is text; if that is meant, put it in quotation marks"]),
            ("db: true", ["apus.yaml:1: db: is true, it is text; if that is meant, put it in quotation marks"]),
            ("db: \"a\\0b\"", ["apus.yaml:1: db: there is a NUL in the name of the file"]),
            ("migrate: yes", ["apus.yaml:1: migrate: is \"yes\", it may be true or false"]),
            ("migrate: 'true'", ["apus.yaml:1: migrate: is text; write true without quotation marks"]),
            ("migrate: !!bool true", ["apus.yaml:1: migrate: tags (tag:yaml.org,2002:bool) are not understood here"]),
            ("migrate: !x true", ["apus.yaml:1: migrate: tags (!x) are not understood here"]),
            (
                "event-loops: 1.5",
                ["apus.yaml:1: event-loops: \"1.5\" is not a number of threads: write a whole number"]
            ),
            ("event-loops: 0", ["apus.yaml:1: event-loops: is 0 (0 threads), it may be 1 to 1024"]),
            (
                "event-loops: 0x4",
                ["apus.yaml:1: event-loops: \"0x4\" is not a number of threads: write a whole number"]
            ),
            (
                "limits: 5",
                [
                    "apus.yaml:1: limits: is a section (max-connections, max-connections-per-address, connect-rate …, "
                        + "a line each, indented), not \"5\""
                ]
            ),
            (
                "limits: {tail-bytes: 99999999999999999999}",
                [
                    "apus.yaml:1: limits.tail-bytes: \"99999999999999999999\" is not a number of bytes: write 4096, 64K, 8M or 1G"
                ]
            ),
            (
                "limits: {tail-bytes: 1}",
                ["apus.yaml:1: limits.tail-bytes: is 1 (1 bytes), it may be 1024 to 1099511627776"]
            ),
            (
                "default-topic: a/#",
                [
                    "apus.yaml:1: default-topic: the topic \"a/#\" contains the wildcard '#'. "
                        + "Wildcards belong to filters, which subscribe; a publish names one topic."
                ]
            ),
            (
                "default-topic: $SYS/x",
                [
                    "apus.yaml:1: default-topic: clients cannot publish to \"$SYS/x\": topics with $ are the broker's own"
                ]
            ),
            // Listeners.
            (
                "listeners: 127.0.0.1:1",
                [
                    "apus.yaml:1: listeners: is a list, each listener begins with \"- address:\"; this is \"127.0.0.1:1\""
                ]
            ),
            ("listeners: []", ["apus.yaml:1: listeners: is empty: nobody could connect. Leave it out for the default"]),
            (
                "listeners:\n - 127.0.0.1:1",
                [
                    "apus.yaml:2: listeners[0]: begins with \"address:\", as in \"- address: 127.0.0.1:2787\"; "
                        + "this is \"127.0.0.1:1\""
                ]
            ),
            (
                "listeners:\n - allow: []",
                ["apus.yaml:2: listeners[0].address: is missing: each listener has an address"]
            ),
            (
                "listeners:\n - adress: x:1",
                [
                    "apus.yaml:2: listeners[0].adress: there is no such option; did you mean address?",
                    "apus.yaml:2: listeners[0].address: is missing: each listener has an address",
                ]
            ),
            (
                "listeners:\n - address: [::1]",
                [
                    "apus.yaml:2: no YAML: did not find expected node content. "
                        + "An IPv6 address stands in quotation marks: \"[::1]:2787\""
                ]
            ),
            (
                "listeners:\n - address: [fe80]",
                [
                    "apus.yaml:2: listeners[0].address: is a list; an IPv6 address stands in quotation marks: "
                        + "\"[::1]:2787\""
                ]
            ),
            (
                "listeners:\n - address: 2787",
                [
                    "apus.yaml:2: listeners[0].address: is 2787, it is text; if that is meant, put it in quotation marks"
                ]
            ),
            (
                "listeners:\n - address: a:1\n   tls: true",
                [
                    "apus.yaml:3: listeners[0].tls: is a section (certificate, key, client-ca …, a line each, indented), "
                        + "not \"true\""
                ]
            ),
            (
                "listeners:\n - address: a:1\n   allow:\n    - 10.0.0.0/8\n    - 10.0.0.1/8\n    - x\n    - [y]\n    - 10.0.0.0/8",
                [
                    "apus.yaml:5: listeners[0].allow: \"10.0.0.1/8\" is no network: there are bits behind the first 8. "
                        + "Write the network's first address, or leave out \"/8\" to mean this one alone.",
                    "apus.yaml:6: listeners[0].allow: \"x\" is no network: it does not begin with a numeric address. "
                        + "Write it as in 10.0.0.0/8, 2001:db8::/32 or 192.0.2.7.",
                    "apus.yaml:7: listeners[0].allow: a list is no network",
                    "apus.yaml:8: listeners[0].allow: 10.0.0.0/8 stands in the list already",
                ]
            ),
            (
                "listeners:\n - address: a:1\n   deny: 10.0.0.0/8",
                [
                    "apus.yaml:3: listeners[0].deny: is a list of networks: [10.0.0.0/8]"
                ]
            ),
            ("listeners[0]: x", ["apus.yaml:1: listeners[0]: there is no such option; did you mean listeners?"]),
        ])
    func says(text: String, lines: [String]) {
        #expect(problems(text) == lines)
    }

    @Test(
        "that is no YAML is refused with its line",
        arguments: [
            ("db: a\n\tusers: b", 2), ("db: [a", 1), ("db: {a", 1), ("db: \"a", 1), ("a: b: c", 1), ("*x", 1),
            ("db: *x", 1),
            ("db: a\n b: c\nd", 2), ("%", 1), ("@", 1), ("`", 1), ("|", 1), (">", 1), ("&", 1), ("...", 1),
            ("- a\nb: c", 2),
            ("db: \"\\q\"", 1), ("db: \"\\uD800\"", 1), ("\u{1}", 1), ("db: a\nusers: \u{7}", 2), ("}", 1), ("]", 1),
            (",", 1),
            ("db: !<", 1), ("? a\n? b\n- c", 3), ("listeners:\n - address: [::1]:2787", 2), ("--- a\n--- b", 2),
        ])
    func noYAML(text: String, line: Int) {
        let lines = problems(text)
        #expect(!lines.isEmpty && lines.allSatisfy { $0.hasPrefix("apus.yaml:") }, "\(lines)")
        #expect(lines.contains { lineNumber($0) >= line }, "\(lines)")
    }

    private func lineNumber(_ problem: String) -> Int {
        problem.split(separator: ":").dropFirst().first.flatMap { Int($0) } ?? 0
    }

    @Test("that is not UTF-8 is refused with its line")
    func notUTF8() {
        let error = #expect(throws: SettingsFailure.self) {
            _ = try load(bytes: Array("db: a\nusers: ".utf8) + [0xE4, 0x0A] + Array("log: {}".utf8))
        }
        #expect(error?.lines == ["apus.yaml:2: this line is not UTF-8"])
        #expect(throws: SettingsFailure.self) { _ = try load(bytes: [0xFF, 0xFE, 0x64, 0x00]) }
        #expect(throws: SettingsFailure.self) { _ = try load(bytes: [0]) }
    }

    @Test("that explains an IPv6 address and tabs, which YAML's own words do not")
    func hints() {
        #expect(problems("listeners:\n - address: [::1]:2787").first?.contains("stands in quotation marks") == true)
        #expect(problems("log:\n\tlevel: info").first?.contains("not with tabs") == true)
    }

    @Test("may have anchors and aliases; a value is where its anchor stands")
    func aliases() throws {
        let settings = try load(
            """
            db: &name apus.db
            users: *name
            listeners:
              - address: 127.0.0.1:1
                tls: &tls {certificate: c, key: k}
                allow: &networks [10.0.0.0/8]
              - address: 127.0.0.1:2
                tls: *tls
                allow: *networks
            """
        ).settings
        #expect(settings.users.value == "apus.db")
        #expect(settings.listeners[1].tls?.files == ["c", "k"])
        #expect(settings.listeners[1].allow.value.count == 1)
    }

    @Test("of more than 1 MiB is refused, and one of 1 MiB is read")
    func size() throws {
        let comment = String(repeating: "#", count: SettingsLoader.fileBytesMax)
        #expect(problems(comment) == [])
        #expect(
            problems(comment + "#")
                == ["flag --config: cannot read apus.yaml: it has more than 1048576 bytes"])
    }

    @Test("with a fault in each of many lines is told as far as anybody reads, in bounded time")
    func many() throws {
        let lines = problems((0..<50_000).map { "k\($0): 1" }.joined(separator: "\n"))
        #expect(lines.count == 101)
        #expect(lines.last == "and 49900 more")
        #expect(
            problems((0..<2_000).map { _ in "db: x" }.joined(separator: "\n"))
                == ["apus.yaml:21: stands more than once in its map: \"db\""])
    }

    @Test(
        "that is made to explode does not",
        arguments: [
            String(repeating: "[", count: 100_000), String(repeating: "{", count: 100_000),
            String(repeating: "- ", count: 100_000), String(repeating: "? ", count: 100_000),
            String(repeating: "a: {", count: 20_000),
            String(repeating: "[", count: 900) + String(repeating: "]", count: 900),
            "a: &a [x,x,x,x,x,x,x,x,x]\n"
                + zip("bcdefghijk", "abcdefghij").map {
                    "\($0): &\($0) [\(Array(repeating: "*\($1)", count: 9).joined(separator: ","))]\n"
                }
                .joined() + "limits: *k\nlisteners: *k\nlog: {level: *k}",
            "listeners: &l [" + String(repeating: "{address: 'a:1'},", count: 5_000) + "]",
            "listeners: [{address: 'a:1', allow: &n [" + String(repeating: "::/0,", count: 5_000) + "]}]",
            "db: &a \"x\"\n" + String(repeating: "&a ", count: 1_000),
            "db: " + String(repeating: "x", count: 1_000_000),
            String(repeating: "\"", count: 10_001), String(repeating: "\r", count: 100_000) + "x",
            "\u{2028}\u{2029}\u{85}x: 1", "x\u{0301}: 1\nx\u{0301}: 2", "\u{1F600}: \u{1F600}\n\u{1F600}: 2",
        ])
    func explosions(text: String) {
        // It may be refused or, for the long name, accepted: it must end, and not trap.
        _ = problems(text)
    }

    @Test("does not overflow the stack of a small thread")
    func depth() async {
        let text = "db: " + String(repeating: "[", count: 999)
        await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<4 { group.addTask { !problems(text + String(repeating: "]", count: 999)).isEmpty } }
            for await isRefused in group { #expect(isRefused) }
        }
    }
}
