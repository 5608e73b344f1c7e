import ApusBroker
import ApusModel
import ApusServer
import ApusSettings
import ArgumentParser
import Foundation
import Logging
import Testing

@testable import apus

/// Settings as the command line gives them, with a configuration file of this text.
private func settings(_ text: String, _ arguments: String...) throws -> Settings {
    let path = FileManager.default.temporaryDirectory.appending(path: "apus-\(UUID().uuidString).yaml").path
    try text.write(toFile: path, atomically: false, encoding: .utf8)
    defer { unlink(path) }
    let command = try ServeCommand.parse(["--config", path] + arguments)
    return try command.loader(environment: [:]).load().settings
}

@Suite("What the broker gets of the settings")
struct ServeSettingsTests {
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    private func configuration(_ settings: Settings) throws -> Broker.Configuration {
        try Broker.Configuration(settings, access: OpenAccess(), logger: logger)
    }

    @Test("is its configuration")
    func mapping() throws {
        let configuration = try configuration(
            settings(
                "listeners: [{address: '127.0.0.1:0'}, {address: '[::1]:7'}]\nevent-loops: 3\ndefault-topic: inbox",
                "--max-connections", "7"))
        #expect(
            configuration.listeners.map(\.address) == [
                .tcp(host: "127.0.0.1", port: 0), .tcp(host: "::1", port: 7),
            ])
        #expect(configuration.eventLoops == 3)
        #expect(configuration.defaultTopic?.name == "inbox")
        #expect(configuration.limits.connectionsMax == 7)
        #expect(configuration.listeners.allSatisfy { !$0.allowsAnonymous })
        let defaults = try self.configuration(Settings())
        #expect(
            defaults.listeners.map(\.address) == [.tcp(host: "127.0.0.1", port: 2787), .tcp(host: "::1", port: 2787)])
        #expect(defaults.listeners.allSatisfy { $0.isDefault })
        #expect(configuration.listeners.allSatisfy { !$0.isDefault })
        #expect(defaults.limits == Limits.defaults)
        let everybody = try self.configuration(open())
        #expect(everybody.listeners.allSatisfy { $0.allowsAnonymous })
    }

    @Test("is each listener's own part of it")
    func listeners() throws {
        let yaml = """
            default-topic: all
            listeners:
              - address: unix:/run/apus.sock
              - address: 127.0.0.1:1
                tls: {certificate: c.pem, key: k.pem, client-ca: ca.pem, client-certificates: request}
                allow: [10.0.0.0/8]
                deny: [10.1.0.0/16, '::1']
                allow-anonymous: true
                max-connections: 7
                max-connections-per-address: 3
                connect-rate: 4
                idle-time: 5
                hello-time: 6
                default-topic: own
            """
        let listeners = try configuration(settings(yaml)).listeners
        var unix = ListenerConfiguration(.unix(path: "/run/apus.sock"))
        unix.defaultTopic = try Topic("all")
        var own = ListenerConfiguration(
            .tcp(host: "127.0.0.1", port: 1),
            tls: TLSConfigurationFiles(
                certificate: "c.pem", key: "k.pem", clientCA: "ca.pem", clientCertificates: .request),
            allowsAnonymous: true)
        own.allow = [try Network("10.0.0.0/8")]
        own.deny = [try Network("10.1.0.0/16"), try Network("::1/128")]
        own.connectionsMax = 7
        own.connectionsPerAddressMax = 3
        own.connectRate = 4
        own.idleSeconds = 5
        own.helloSeconds = 6
        own.defaultTopic = try Topic("own")
        #expect(listeners == [unix, own])
    }

    private func open() throws -> Settings { try settings("{}", "--listen", ":0", "--allow-anonymous") }

    @Test("All flags have the names that the settings say")
    func flags() throws {
        let help = ServeCommand.helpMessage(columns: 200)
        for option in SettingsOption.all {
            guard let flag = option.flag else { continue }
            #expect(help.contains("\(flag) ") || help.contains("\(flag)\n"), "\(flag)")
        }
        let all = try settings(
            "{}", "--db", "d", "--listen", "127.0.0.1:1", "--listen", "unix:/x", "--http", "127.0.0.1:2", "--users",
            "u",
            "--allow-anonymous", "--no-migrate", "--default-topic", "t", "--event-loops", "2", "--log-level", "trace",
            "--log-format", "json", "--anonymous-metrics")
        let said = all.entries.filter { if case .flag = $0.origin { $0.inheritedFrom == nil } else { false } }
        #expect(
            said.map { "\($0.key)=\($0.text)" } == [
                "db=d", "users=u", "allow-anonymous=true", "default-topic=t", "event-loops=2", "migrate=false",
                "listeners[0].address=127.0.0.1:1", "listeners[1].address=unix:/x", "http.address=127.0.0.1:2",
                "http.anonymous-metrics=true",
                "log.level=trace", "log.format=json",
            ])
    }

    @Test("The table and the lines of --check-config say the key, the value, and where it came from")
    func check() throws {
        let settings = try settings("default-topic: a b\nlisteners: [{address: 'x:1'}]", "--drain-time", "2")
        var out: [UInt8] = []
        CheckConfig.append(settings, isJSON: false, width: nil, to: &out)
        let rows = String(decoding: out, as: UTF8.self).split(separator: "\n").map { $0.split(separator: " ") }
        #expect(rows[0] == ["KEY", "VALUE", "FROM"])
        #expect(rows.contains { $0.first == "limits.drain-time" && $0.dropFirst() == ["2", "flag", "--drain-time"] })
        #expect(rows.contains { $0.first == "db" && $0.dropFirst() == ["apus.db", "default"] })
        #expect(rows.contains { $0.first == "listeners[0].address" && $0.last?.hasSuffix(".yaml:2") == true })
        out = []
        CheckConfig.append(settings, isJSON: true, width: nil, to: &out)
        let lines = try String(decoding: out, as: UTF8.self).split(separator: "\n").map {
            try JSONParser.parse(String($0))
        }
        #expect(lines.count == rows.count - 1)
        let drain = try #require(lines.first { $0["key"] == .string("limits.drain-time") })
        #expect(drain.text == #"{"key":"limits.drain-time","value":2,"source":"flag","name":"--drain-time"}"#)
        let topic = try #require(lines.first { $0["key"] == .string("listeners[0].default-topic") })
        #expect(topic["inherited-from"] == .string("default-topic") && topic["line"] == .integer(1))
        #expect(lines.first { $0["key"] == .string("users") }?["value"] == .null)
    }

    @Test("What needs a restart is named once, with what it was and what it would be")
    func differences() throws {
        let old = try settings(
            "listeners: [{address: 'x:1', default-topic: a}, {address: 'z:1', idle-time: 7}]\n"
                + "log: {level: info}")
        let new = try settings(
            "listeners: [{address: 'z:1', idle-time: 8}, {address: 'y:1', idle-time: 9}]\nlog: {level: debug}\n"
                + "default-topic: b\n"
                + "limits: {tail-bytes: 1M, max-connections: 500}\nusers: u")
        #expect(
            SettingsDifference.needingRestart(old, new) == [
                SettingsDifference(key: "users", old: "none", new: "u"),
                SettingsDifference(key: "default-topic", old: "none", new: "b"),
                SettingsDifference(key: "listeners[x:1]", old: "listening", new: "none"),
                // The same listener, at another place in the list.
                SettingsDifference(key: "listeners[z:1].idle-time", old: "7", new: "8"),
                // The listeners have it from here: it is not named for each of them.
                SettingsDifference(key: "limits.max-connections", old: "10000", new: "500"),
                SettingsDifference(key: "limits.tail-bytes", old: "67108864", new: "1048576"),
                SettingsDifference(key: "listeners[y:1]", old: "none", new: "listening"),
            ])
        #expect(SettingsDifference.needingRestart(old, old).isEmpty)
        let free = try settings("listeners: [{address: 'x:0'}, {address: 'x:0', default-topic: a}]")
        let other = try settings("listeners: [{address: 'x:0'}, {address: 'x:0', default-topic: b}]")
        #expect(
            SettingsDifference.needingRestart(free, other) == [
                SettingsDifference(key: "listeners[x:0 #2].default-topic", old: "a", new: "b")
            ])
    }
}

@Suite("A watched file")
struct FileWatchTests {
    private let folder = FileManager.default.temporaryDirectory.appending(path: "apus-watch-\(UUID().uuidString)").path

    private func inFolder(_ body: (String) throws -> Void) throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try body("\(folder)/file")
    }

    private func write(_ text: String, _ path: String) throws {
        try text.write(toFile: path, atomically: false, encoding: .utf8)
    }

    @Test("has changed when it is another one, and has stayed so for a look")
    func change() throws {
        try inFolder { path in
            try write("a", path)
            var watch = FileWatch([path])
            #expect(watch.look() == [])
            try write("bb", path)
            #expect(watch.look() == [], "it may still be written")
            #expect(watch.look() == [path])
            #expect(watch.look() == [path], "until it is read")
            watch.settle()
            #expect(watch.look() == [])
        }
    }

    @Test("has changed when its name leads to another file of the same size and time")
    func replaced() throws {
        try inFolder { path in
            try write("a", path)
            try write("b", "\(path).new")
            var watch = FileWatch([path])
            #expect(rename("\(path).new", path) == 0)
            _ = watch.look()
            #expect(watch.look() == [path])
        }
    }

    @Test("has changed when a link on its way is swapped, as Kubernetes does it")
    func swapped() throws {
        try inFolder { path in
            for name in ["one", "two"] {
                try FileManager.default.createDirectory(atPath: "\(folder)/\(name)", withIntermediateDirectories: true)
                try write("x", "\(folder)/\(name)/file")
            }
            #expect(symlink("one", "\(folder)/data") == 0)
            #expect(symlink("data/file", path) == 0)
            var watch = FileWatch([path])
            #expect(watch.look() == [])
            #expect(symlink("two", "\(folder)/next") == 0)
            #expect(rename("\(folder)/next", "\(folder)/data") == 0)
            _ = watch.look()
            #expect(watch.look() == [path])
        }
    }

    @Test("has changed when it is gone, and when it is there again")
    func gone() throws {
        try inFolder { path in
            try write("a", path)
            var watch = FileWatch([path])
            #expect(unlink(path) == 0)
            _ = watch.look()
            #expect(watch.look() == [path])
            watch.settle()
            try write("a", path)
            _ = watch.look()
            #expect(watch.look() == [path])
        }
    }
}
