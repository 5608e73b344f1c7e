import ApusModel
import ApusSettings
import Testing

@Suite("A limit's value")
struct LimitTextTests {
    @Test(
        "is a number in its unit, a size with a letter behind it, or a time",
        arguments: [
            ("0", "bytes", 0), ("4096", "bytes", 4_096), ("64K", "bytes", 65_536), ("64KiB", "bytes", 65_536),
            ("1M", "messages", 1 << 20), ("2GiB", "bytes", 2 << 30), ("3T", "bytes", 3 << 40), ("30", "seconds", 30),
            ("30s", "seconds", 30), ("10m", "seconds", 600), ("1.5h", "seconds", 5_400), ("2000ms", "seconds", 2),
            ("250ms", "milliseconds", 250), ("1s", "milliseconds", 1_000), ("2w", "days", 14), ("48h", "days", 2),
        ])
    func reads(text: String, unit: String, number: Int) throws {
        #expect(try LimitText.parse(text, unit: unit) == number)
    }

    @Test(
        "is nothing else",
        arguments: [
            ("", "bytes"), ("K", "bytes"), ("iB", "bytes"), ("64iB", "bytes"), ("1.5M", "bytes"), ("64m", "bytes"),
            ("64 M", "bytes"), ("9223372036854775807K", "bytes"), ("9223372036854775808", "bytes"), ("-1", "bytes"),
            ("+1", "bytes"), ("0x10", "bytes"), ("010", "bytes"), ("1_000", "bytes"), ("1e3", "bytes"), ("１", "bytes"),
            ("1K", "seconds"), ("1500ms", "seconds"), ("1h", "days"), ("soon", "seconds"), ("nan", "seconds"),
            ("-1s", "seconds"), ("9999999999999w", "seconds"),
        ])
    func refuses(text: String, unit: String) {
        let error = #expect(throws: ApusError.self) { try LimitText.parse(text, unit: unit) }
        #expect(error?.code == .usage)
    }
}

@Suite("An address to listen on")
struct BindAddressTests {
    @Test(
        "is written in one way",
        arguments: [
            ("127.0.0.1:2787", "127.0.0.1:2787"), ("127.0.0.1", "127.0.0.1:7"), (":2787", ":2787"),
            ("[::1]:0", "[::1]:0"), ("[fe80::1%eth0]:1", "[fe80::1%eth0]:1"),
            ("broker.example:80", "broker.example:80"),
            ("apus://localhost:5", "localhost:5"), ("unix:/run/apus.sock", "unix:/run/apus.sock"),
        ])
    func reads(text: String, written: String) throws {
        #expect(try BindAddress(text, defaultPort: 7).description == written)
    }

    @Test(
        "says what is wrong",
        arguments: [
            ("", "empty"), (" ", "space"), ("a b:1", "space"), ("::1", "brackets"), ("[::1", "without"),
            ("[x]:1", "no IPv6"),
            ("[127.0.0.1]:1", "no IPv6"), ("[]:1", "no IPv6"), ("a:65536", "port"), ("a:-1", "port"), ("a:", "port"),
            ("a:x", "port"), ("unix:", "path"), ("unix:/" + String(repeating: "x", count: 107), "107 bytes"),
            ("a:1\u{0}", "control"),
        ])
    func refuses(text: String, word: String) {
        let error = #expect(throws: ApusError.self) { try BindAddress(text, defaultPort: 7) }
        #expect(error?.message.contains(word) == true, "\(error?.message ?? "")")
    }

    @Test(
        "tells who can reach it, without looking anything up",
        arguments: [
            ("127.0.0.1:1", .thisMachine), ("127.9.9.9:1", .thisMachine), ("[::1]:1", .thisMachine),
            ("localhost:1", .thisMachine), ("unix:/x", .thisMachine), (":1", .otherMachines),
            ("0.0.0.0:1", .otherMachines),
            ("[::]:1", .otherMachines), ("10.0.0.1:1", .otherMachines), ("[::ffff:10.0.0.1]:1", .otherMachines),
            ("[fe80::1%lo]:1", .otherMachines), ("127.0.0.1.example.com:1", .unknown), ("broker:1", .unknown),
        ] as [(String, BindAddress.Reach)])
    func reach(text: String, reach: BindAddress.Reach) throws {
        #expect(try BindAddress(text, defaultPort: 7).reach == reach)
    }
}

@Suite("A network")
struct NetworkRangeTests {
    @Test(
        "is an address and how many of its bits count",
        arguments: [
            ("10.0.0.0/8", "10.0.0.0/8"), ("0.0.0.0/0", "0.0.0.0/0"), ("192.168.1.7", "192.168.1.7/32"),
            ("2001:db8::/32", "2001:db8::/32"), ("::1", "::1/128"), ("10.1.2.128/25", "10.1.2.128/25"),
        ])
    func reads(text: String, written: String) throws {
        #expect(try NetworkRange(text).description == written)
    }

    @Test(
        "is nothing else",
        arguments: [
            "", "/", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8/8", "10.0.0/8", "10.0.0.1/8",
            "10.1.2.129/25", "2001:db8::1/32", "::/129", "localhost", "fe80::1%eth0/64", "10.0.0.0 / 8", "010.0.0.0/8",
        ])
    func refuses(text: String) {
        #expect(throws: ApusError.self) { try NetworkRange(text) }
    }

    @Test("is the same network however it is written")
    func equality() throws {
        #expect(try NetworkRange("2001:DB8::/32") == NetworkRange("2001:db8:0::/32"))
        #expect(try NetworkRange("10.0.0.0/8") != NetworkRange("10.0.0.0/9"))
    }
}
