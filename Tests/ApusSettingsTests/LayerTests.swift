import ApusModel
import ApusSettings
import Logging
import Testing

@Suite("Settings")
struct LayerTests {
    @Test("without anything are the defaults")
    func defaults() throws {
        let loaded = try load()
        #expect(loaded.settings == Settings())
        #expect(loaded.warnings.isEmpty)
        #expect(loaded.settings.entries.allSatisfy { $0.origin == .standard })
        #expect(loaded.settings.listeners.map(\.address.value.description) == ["127.0.0.1:2787", "[::1]:2787"])
    }

    @Test("come from the file, with their lines")
    func file() throws {
        let settings = try load(
            """
            db: /var/lib/apus/apus.db
            log: {level: debug, format: json}
            limits:
              tail-bytes: 128M
              keep-alive: 2m
              max-connections: 500
            users: users.yaml
            http:
              address: 127.0.0.1:2788
              anonymous-metrics: true
            event-loops: 4
            default-topic: inbox
            migrate: false
            """
        ).settings
        #expect(settings.file == "apus.yaml")
        #expect(settings.db == Setting("/var/lib/apus/apus.db", .file("apus.yaml", line: 1)))
        #expect(settings.logLevel == Setting(.debug, .file("apus.yaml", line: 2)))
        #expect(settings.logFormat.value == .json)
        #expect(settings.limits.tailBytesMax == 128 << 20)
        #expect(settings.limitOrigin("tail-bytes") == .file("apus.yaml", line: 4))
        #expect(settings.limits.keepAliveSeconds == 120)
        #expect(settings.limits.connectionsMax == 500)
        #expect(settings.users.value == "users.yaml")
        #expect(settings.http.address.value?.description == "127.0.0.1:2788")
        #expect(settings.http.anonymousMetrics.value)
        #expect(settings.eventLoops.value == 4)
        #expect(settings.defaultTopic.value?.name == "inbox")
        #expect(settings.defaultTopic.origin == .file("apus.yaml", line: 12))
        #expect(!settings.migrates.value)
    }

    @Test("of a listener are its own, or those for all")
    func listeners() throws {
        let settings = try load(
            """
            users: u.yaml
            allow-anonymous: true
            default-topic: all
            limits: {max-connections: 700}
            listeners:
              - address: :2787
                allow: [10.0.0.0/8, "2001:db8::/32"]
                deny:
                  - 10.1.0.0/16
                allow-anonymous: false
                max-connections: 100
                max-connections-per-address: 10
                connect-rate: 5
                idle-time: 1h
                hello-time: 5s
                default-topic: mine
              - address: 0.0.0.0
                tls: {certificate: c.pem, key: k.pem, client-ca: ca.pem, client-certificates: require}
              - address: unix:/run/apus/apus.sock
            """
        ).settings
        let first = try #require(settings.listeners.first)
        #expect(first.address == Setting(.tcp(host: "", port: 2787), .file("apus.yaml", line: 6)))
        #expect(first.allow.value.map(\.description) == ["10.0.0.0/8", "2001:db8::/32"])
        #expect(first.deny.value.map(\.description) == ["10.1.0.0/16"])
        #expect(first.allowsAnonymous == Setting(false, .file("apus.yaml", line: 10)))
        #expect(first.limits[.connections]?.value == 100)
        #expect(first.limits[.connectionsPerAddress]?.value == 10)
        #expect(first.limits[.connectRate]?.value == 5)
        #expect(first.limits[.idleTime]?.value == 3_600)
        #expect(first.limits[.helloTime]?.value == 5)
        #expect(first.defaultTopic.value?.name == "mine")
        let second = settings.listeners[1]
        // The port of TLS, because there is TLS.
        #expect(second.address.value == .tcp(host: "0.0.0.0", port: 2789))
        #expect(second.tls?.files == ["c.pem", "k.pem", "ca.pem"])
        #expect(second.tls?.clientCertificates.value == .require)
        #expect(second.allowsAnonymous == Setting(true, .file("apus.yaml", line: 2)))
        #expect(second.defaultTopic.value?.name == "all")
        #expect(settings.entry("listeners[1].allow-anonymous")?.inheritedFrom == "allow-anonymous")
        #expect(settings.entry("listeners[1].max-connections")?.value == .integer(700))
        #expect(settings.entry("listeners[1].max-connections")?.inheritedFrom == "limits.max-connections")
        #expect(settings.listeners[2].address.value == .unix(path: "/run/apus/apus.sock"))
    }

    @Test("of a flag win over the environment, those of the environment over the file")
    func precedence() throws {
        let file = "db: file.db\nlog: {level: info}\nlimits: {drain-time: 1}\nlisteners: [{address: '127.0.0.1:1'}]"
        let environment = [
            "APUS_DB": "environment.db", "APUS_LOG_LEVEL": "debug", "APUS_LISTEN": "127.0.0.1:2, [::1]:3",
        ]
        let settings = try load(file, environment: environment) { $0.set("db", "flag.db") }.settings
        #expect(settings.db == Setting("flag.db", .flag("--db")))
        #expect(settings.logLevel == Setting(.debug, .environment("APUS_LOG_LEVEL")))
        #expect(settings.limits.drainSeconds == 1)
        #expect(settings.limitOrigin("drain-time") == .file("apus.yaml", line: 3))
        #expect(settings.listeners.map(\.address.value.description) == ["127.0.0.1:2", "[::1]:3"])
        #expect(settings.listeners.allSatisfy { $0.address.origin == .environment("APUS_LISTEN") })
        let flags = try load(file, environment: environment) { $0.listen("127.0.0.1:0") }.settings
        #expect(flags.listeners.map(\.address) == [Setting(.tcp(host: "127.0.0.1", port: 0), .flag("--listen"))])
    }

    @Test("that are wrong are told even where another layer covers them")
    func coveredFault() {
        #expect(
            problems("log: {level: loud}") { $0.set("log.level", "info") } == [
                "apus.yaml:1: log.level: is \"loud\", it may be trace, debug, info, notice, warning, error, critical"
            ])
    }

    @Test("are told with all that is wrong, in the order of the file, then the rest")
    func everything() {
        let lines = problems(
            """
            limits:
              max-conections: 10
              drain-time: soon
            dbb: x
            log: {level: 5}
            """, environment: ["APUS_LIMITS_BATCH_ROWS": "0"]
        ) { $0.set("event-loops", "2000") }
        #expect(
            lines == [
                "apus.yaml:2: limits.max-conections: there is no such option; did you mean max-connections?",
                "apus.yaml:3: limits.drain-time: \"soon\" is no length of time: write 500ms, 30s, 10m, 2h, 7d, or seconds",
                "apus.yaml:4: dbb: there is no such option; did you mean db?",
                "apus.yaml:5: log.level: is \"5\", it may be trace, debug, info, notice, warning, error, critical",
                "flag --event-loops: is 2000 (2000 threads), it may be 1 to 1024",
                "environment variable APUS_LIMITS_BATCH_ROWS: is 0 (0 messages), it may be 1 to 1000000",
            ])
    }

    @Test("have an entry for every option, with the type that it has in the file")
    func entries() throws {
        let settings = try load(
            "users: u\nlisteners: [{address: 'a:1', tls: {certificate: c, key: k}, max-connections-per-address: 1, "
                + "connect-rate: 1, idle-time: 1, hello-time: 1}]"
        ).settings
        let keys = Set(settings.entries.map { SettingsOption.general($0.key) })
        for option in SettingsOption.all { #expect(keys.contains(option.key), "\(option.key)") }
        for key in keys { #expect(SettingsOption.named(key) != nil, "\(key)") }
        #expect(settings.entry("allow-anonymous")?.value == .bool(false))
        #expect(settings.entry("default-topic")?.text == "none")
        #expect(settings.entry("listeners[0].allow")?.text == "[]")
        #expect(settings.entry("limits.drain-time")?.text == "10")
    }
}

@Suite("The environment")
struct EnvironmentTests {
    @Test("has a variable for every option outside of the list of listeners, and no two have the same")
    func names() {
        let names = SettingsOption.all.compactMap(\.environment)
        #expect(Set(names).count == names.count)
        for option in SettingsOption.all {
            #expect(
                (option.environment == nil) == (option.key.contains("[]") && option.name != "address"), "\(option.key)")
        }
        #expect(SettingsOption.named("limits.max-connections")?.environment == "APUS_LIMITS_MAX_CONNECTIONS")
        #expect(SettingsOption.named("http.address")?.environment == "APUS_HTTP")
        #expect(SettingsOption.named("allow-anonymous")?.environment == "APUS_ALLOW_ANONYMOUS")
    }

    @Test("may name a file that holds a value, without the newline at its end")
    func files() throws {
        let files = ["/run/db": Array("a b.db\n".utf8), "/run/empty": Array("\n".utf8)]
        let settings = try load(
            environment: ["APUS_DB_FILE": "/run/db", "APUS_USERS_FILE": "/run/empty"], files: files
        ).settings
        #expect(settings.db == Setting("a b.db", .environment("APUS_DB_FILE")))
        #expect(settings.users.value == nil)
    }

    @Test("may name the configuration file; the flag wins")
    func configuration() throws {
        let files = [
            "one.yaml": Array("db: one".utf8), "two.yaml": Array("db: two".utf8), "name": Array("one.yaml".utf8),
        ]
        #expect(try load(environment: ["APUS_CONFIG": "one.yaml"], files: files).settings.db.value == "one")
        #expect(try load(environment: ["APUS_CONFIG_FILE": "name"], files: files).settings.db.value == "one")
        let both = try load(environment: ["APUS_CONFIG": "one.yaml"], files: files) { $0.configuration = "two.yaml" }
        #expect(both.settings.db == Setting("two", .file("two.yaml", line: 1)))
    }

    @Test("that is wrong is told by the variable's name")
    func wrong() {
        func lines(_ environment: [String: String]) -> [String] {
            let files = ["lines": Array("a\nb\n".utf8), "bytes": [0xFF], "one": Array("1".utf8)]
            do throws(SettingsFailure) {
                _ = try load(environment: environment, files: files)
                return []
            } catch {
                return error.lines
            }
        }
        #expect(
            lines(["APUS_ALLOW_ANONYMOUS": "yes"])
                == ["environment variable APUS_ALLOW_ANONYMOUS: is \"yes\", it may be true or false"])
        #expect(
            lines(["APUS_USERS_FILE": "lines"]) == [
                "environment variable APUS_USERS_FILE: lines has more than one line, and holds no value. "
                    + "APUS_USERS takes the value itself."
            ])
        #expect(lines(["APUS_DB_FILE": "bytes"]) == ["environment variable APUS_DB_FILE: bytes is not UTF-8"])
        #expect(
            lines(["APUS_DB_FILE": "gone"])
                == ["environment variable APUS_DB_FILE: cannot read gone: No such file or directory"])
        #expect(
            lines(["APUS_DB_FILE": "one", "APUS_DB": "x"])
                == ["environment variable APUS_DB_FILE: APUS_DB is set, too; one of them is enough"])
        #expect(lines(["APUS_LISTEN": "127.0.0.1:1,,x:y"]).count == 2)
        #expect(
            lines(["APUS_CONFIG": "gone"])
                == ["environment variable APUS_CONFIG: cannot read gone: No such file or directory"])
    }

    @Test("is warned about where a variable looks like an option and is none")
    func warnings() throws {
        let warnings = try load(
            environment: [
                "APUS_LIMIT_MAX_CONECTIONS": "1", "APUS_LOG_LEVLE": "x", "APUS_LISTENERS": "x", "APUS_LOG_COLOUR": "x",
                "APUS_USERS_FIEL": "x", "APUS_TLS_KEY": "x", "OTHER_LIMIT_X": "1",
            ]
        ).warnings
        #expect(
            warnings == [
                "environment variable APUS_LIMIT_MAX_CONECTIONS is no option and is not read; "
                    + "did you mean APUS_LIMITS_MAX_CONNECTIONS?",
                "environment variable APUS_LISTENERS is no option and is not read",
                "environment variable APUS_LOG_COLOUR is no option and is not read",
                "environment variable APUS_LOG_LEVLE is no option and is not read; did you mean APUS_LOG_LEVEL?",
                "environment variable APUS_TLS_KEY is no option and is not read",
                "environment variable APUS_USERS_FIEL is no option and is not read",
            ])
    }

    @Test("of clients, of Kubernetes, and what is empty, is left alone")
    func others() throws {
        let loaded = try load(
            environment: [
                "APUS_SERVER": "x", "APUS_USER": "x", "APUS_PASSWORD": "x", "APUS_PASSWORD_FILE": "x",
                "APUS_TOKEN": "x",
                "APUS_CA": "x", "APUS_CERT": "x", "APUS_KEY_FILE": "x", "APUS_SERVICE_HOST": "10.0.0.1",
                "APUS_PORT_2787_TCP_ADDR": "10.0.0.1", "APUS_DB": "", "APUS_LIMITS_DRAIN_TIME": "",
            ])
        #expect(loaded.warnings.isEmpty)
        #expect(loaded.settings == Settings())
    }
}
