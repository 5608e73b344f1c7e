import ApusModel
import ArgumentParser
import NIOCore
import Testing

@testable import apus

@Suite("Arguments")
struct ArgumentTests {
    @Test(
        "--from takes words, seqs, times and how long ago",
        arguments: [
            ("now", .now), ("start", .start), ("last-per-topic", .lastPerTopic), ("17", .seq(17)),
            ("10m", .ago(600_000_000)), ("1.5h", .ago(5_400_000_000)),
            ("2025-11-23T08:15:00Z", .time(1_763_885_700_000_000)),
            ("2025-11-23T09:15:00.5+01:00", .time(1_763_885_700_500_000)),
        ] as [(String, StartPosition)])
    func from(text: String, position: StartPosition) throws {
        #expect(try StartArgument.parse(text) == position)
    }

    @Test(
        "--from says what it takes where it does not understand",
        arguments: ["", "soon", "-1", "99999999999999999999", "9223372036854775808"])
    func badFrom(text: String) {
        let error = #expect(throws: ApusError.self) { try StartArgument.parse(text) }
        #expect(error?.code == .usage)
    }

    @Test("--from, --since and --last exclude each other, and without one it is now")
    func onePosition() throws {
        #expect(try StartArgument.position(from: nil, since: nil, last: nil) == .now)
        #expect(try StartArgument.position(from: nil, since: nil, last: 20) == .last(20))
        #expect(try StartArgument.position(from: nil, since: .ago(5), last: nil) == .ago(5))
        #expect(throws: ApusError.self) { try StartArgument.position(from: .start, since: nil, last: 1) }
    }

    @Test("--since takes no plain number: it could be a seq or seconds")
    func sinceNumber() {
        #expect(throws: ApusError.self) { try TimeArgument("10") }
    }

    @Test("A time without an offset is local")
    func local() throws {
        let utc = try TimeArgument("2025-11-23T08:15:00Z")
        let local = try TimeArgument("2025-11-23T08:15:00")
        let offset = Microseconds(LocalTime.offset(1_763_885_700_000_000)) * 1_000_000
        #expect(utc == .time(1_763_885_700_000_000))
        #expect(local == .time(1_763_885_700_000_000 - offset))
    }

    @Test("--wait may stand alone or have seconds, and is left alone behind --")
    func wait() {
        #expect(
            WaitTime.spelledOut(["sub", "--wait", "a", "--", "--wait"]) == [
                "sub", "--wait=forever", "a", "--", "--wait",
            ])
        #expect(WaitTime(argument: "30") == .seconds(30))
        #expect(WaitTime(argument: "forever") == .forever)
        #expect(WaitTime(argument: "-1") == nil)
    }

    @Test("A header is a name and a value; curl's space behind the colon is not part of it")
    func headers() throws {
        #expect(try HeaderArgument.parse("a:b:c", separators: [":", "="]) == Headers.Pair("a", "b:c"))
        #expect(try HeaderArgument.parse("a: b", separators: [":", "="]) == Headers.Pair("a", "b"))
        #expect(try HeaderArgument.parse("a=", separators: ["="]) == Headers.Pair("a", ""))
        #expect(throws: ApusError.self) { try HeaderArgument.parse(":b", separators: [":"]) }
        #expect(throws: ApusError.self) { try HeaderArgument.parse("ab", separators: [":"]) }
    }

    @Test(
        "A time to live is whole seconds, at least one",
        arguments: [("1500ms", 2), ("10m", 600), ("3", 3)] as [(String, UInt32)])
    func ttl(text: String, seconds: UInt32) throws {
        #expect(try DeclarationOptions.ttl(text) == seconds)
        #expect(throws: ApusError.self) { try DeclarationOptions.ttl("0") }
        #expect(throws: ApusError.self) { try DeclarationOptions.ttl("200w0") }
    }

    @Test(
        "A rate is per second, minute or hour",
        arguments: [("100", 100), ("100/s", 100), ("30/m", 0.5), ("1800/h", 0.5)])
    func rate(text: String, perSecond: Double) throws {
        #expect(try PublishRate(text).perSecond == perSecond)
    }

    @Test("What is no rate is refused", arguments: ["0", "-1", "x", "1/d", "1/", "nan", "inf"])
    func badRate(text: String) {
        #expect(throws: ApusError.self) { try PublishRate(text) }
    }

    @Test(
        "Wrong command lines are usage errors",
        arguments: [
            ["pub"], ["pub", "a/#", "-m", "x"], ["pub", "a", "-m", "x", "-n"], ["pub", "a", "-l", "--repeat", "2"],
            ["pub", "a", "--ack", "maybe"], ["pub", "a", "--precompressed"], ["sub"], ["sub", "a#"],
            ["sub", "a", "-C", "0"],
            ["sub", "a", "--json", "-x"], ["sub", "a", "-F", "%z"], ["sub", "a", "--since", "10m", "--last", "3"],
            ["history", "--json", "--csv"], ["history", "--count", "0"], ["get"], ["get", "x"],
            ["get", "9223372036854775808"], ["history", "--from-seq", "-1"], ["nope"],
            ["health", "-W", "0"], ["health", "-W", "nan"], ["health", "x"], ["top", "--interval", "0"],
            ["top", "--interval", "inf"],
        ])
    func usage(arguments: [String]) {
        let error = #expect(throws: (any Error).self) { try Apus.parseAsRoot(arguments) }
        guard let error else { return }
        #expect(Apus.exitCode(for: error).rawValue == ExitStatus.usage.rawValue)
    }

    @Test(
        "Right command lines are understood",
        arguments: [
            ["pub", "a", "-m", "x", "-m", "y", "-f", "z", "-H", "a:b", "--ttl", "10m", "--ack", "stored", "-v"],
            ["pub", "a", "-0"], ["pub", "a", "-n", "--retain", "--wait=3", "-q"],
            ["sub", "#", "$x/+", "-v", "--last", "20", "-C", "3", "-W", "1.5", "--exit-at-end"],
            ["history", "a/#", "--since", "1h", "--header", "a=b", "--header", "c=d", "--csv", "--db", "x.db"],
            ["get", "17", "-o", "f", "--force"], ["topics", "--json"], ["status", "--json"], ["completions", "fish"],
            ["health", "-W", "0.5", "-q"], ["top", "--once", "--json", "--interval", "0.1"],
        ])
    func accepted(arguments: [String]) throws {
        _ = try Apus.parseAsRoot(arguments)
    }
}

@Suite("A command that does not exist")
struct UnknownCommandTests {
    @Test(
        "The one that was meant is named",
        arguments: [
            ("pbu", "pub"), ("publish", "pub"), ("subscribe", "sub"), ("hist", "history"), ("histroy", "history"),
            ("topic", "topics"), ("Status", "status"), ("server", "serve"), ("st", "status"),
        ])
    func meant(word: String, name: String) {
        let error = UnknownCommand.error(in: [word, "-m", "x"], names: Apus.commandNames)
        #expect(error?.code == .usage)
        #expect(error?.message == "there is no command \"\(word)\"; did you mean \"\(name)\"?")
        #expect(error?.hint == "`apus --help` lists them.")
    }

    @Test("What is like none of them is only said not to be there", arguments: ["frobnicate", "x", "ü", "a/b/c"])
    func nothing(word: String) {
        let error = UnknownCommand.error(in: ["help", word], names: Apus.commandNames)
        #expect(error?.message == "there is no command \"\(word)\"")
    }

    @Test(
        "Commands, options and help are left alone",
        arguments: [[], ["--help"], ["help"], ["help", "sub"], ["-x"], [""]])
    func known(arguments: [String]) {
        #expect(UnknownCommand.error(in: arguments, names: Apus.commandNames) == nil)
        for name in Apus.commandNames {
            #expect(UnknownCommand.error(in: [name] + arguments, names: Apus.commandNames) == nil)
        }
    }

    @Test("A swap, a slip, a letter more or less count one each")
    func distance() {
        for (a, b, count) in [
            ("pub", "pub", 0), ("pbu", "pub", 1), ("pup", "pub", 1), ("pubb", "pub", 1), ("", "pub", 3),
        ] {
            #expect(UnknownCommand.distance(a, b) == count)
            #expect(UnknownCommand.distance(b, a) == count)
        }
    }
}

@Suite("Exit codes")
struct ExitStatusTests {
    @Test(
        "Errors map to the documented codes",
        arguments: [
            (.unavailable, 69), (.connectionLost, 69), (.timedOut, 27), (.invalidEncoding, 65), (.messageTooLarge, 65),
            (.input, 74), (.storageFull, 74), (.notAllowed, 77), (.usage, 64), (.invalidTopic, 64), (.noSuchMessage, 2),
            (.internalError, 1),
        ] as [(ApusError.Code, Int32)])
    func mapping(code: ApusError.Code, status: Int32) {
        #expect(ExitStatus(code).rawValue == status)
    }

    @Test("No error is a success")
    func noSuccess() {
        for code in ApusError.Code.allCases { #expect(ExitStatus(code) != .done) }
    }

    @Test("The help of the root command names every code")
    func documented() {
        for status in ExitStatus.allCases { #expect(ExitStatus.help.contains("\(status.rawValue) ")) }
    }
}

@Suite("Every command has examples in its help")
struct HelpTests {
    @Test("EXAMPLES stands in the help, and no line of it is wider than a terminal")
    func examples() {
        for command in Apus.configuration.subcommands {
            let help = Apus.helpMessage(for: command, columns: 80)
            #expect(help.contains("EXAMPLES"), "\(command)")
            let examples = command.configuration.discussion.split(separator: "\n").filter { $0.hasPrefix("  ") }
            for line in examples { #expect(TextWidth.of(String(line)) <= 80, "\(line)") }
        }
    }
}
