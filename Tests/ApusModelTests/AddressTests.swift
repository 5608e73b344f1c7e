import ApusModel
import NIOCore
import Testing

@Suite("A numeric address")
struct IPAddressTests {
    @Test(
        "belongs to a holder: an IPv6 address to the half that its owner does not choose",
        arguments: [
            ("10.0.0.1", "10.0.0.1"), ("::ffff:10.0.0.1", "10.0.0.1"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("2001:db8:1:2::1", "2001:db8:1:2::"),
        ])
    func holder(text: String, holder: String) {
        #expect(IPAddress(text)?.holder.description == holder)
    }

    @Test(
        "stands for all of its family where it is 0",
        arguments: [("::", true), ("0.0.0.0", true), ("::1", false), ("0.0.0.1", false)])
    func unspecified(text: String, isUnspecified: Bool) {
        #expect(IPAddress(text)?.isUnspecified == isUnspecified)
    }
}

@Suite("A network")
struct NetworkTests {
    private func address(_ text: String) throws -> IPAddress { try #require(IPAddress(text)) }

    @Test(
        "contains the addresses whose first bits are its own, and no others",
        arguments: [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"), ("10.1.2.3", "10.1.2.3", "10.1.2.2"),
            ("0.0.0.0/0", "255.1.2.3", "::1"), ("192.0.2.128/25", "192.0.2.200", "192.0.2.127"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"), ("::/0", "fe80::1", "10.0.0.1"),
            ("2001:db8:0:0:8000::/65", "2001:db8::ffff:0:0:1", "2001:db8::7fff:0:0:1"), ("::1", "::1", "127.0.0.1"),
        ])
    func contains(text: String, inside: String, outside: String) throws {
        let network = try Network(text)
        #expect(network.contains(try address(inside)))
        #expect(!network.contains(try address(outside)))
    }

    @Test(
        "is shown in one form, however it is written, and equal",
        arguments: [
            ("10.0.0.0/8", "10.0.0.0/8"), ("::ffff:10.0.0.0/104", "10.0.0.0/8"), ("192.168.1.7", "192.168.1.7/32"),
            ("0.0.0.0/0", "0.0.0.0/0"), ("2001:DB8:0::/32", "2001:db8::/32"), ("::1", "::1/128"), ("::/0", "::/0"),
        ])
    func isShown(text: String, written: String) throws {
        #expect(try Network(text).description == written)
        #expect(try Network(text) == Network(written))
        #expect(try Network(text) != Network("10.0.0.0/9"))
    }

    @Test("of IPv4 contains the same address as IPv6 writes it, and the other way round")
    func mapped() throws {
        #expect(try Network("10.0.0.0/8").contains(address("::ffff:10.1.2.3")))
        #expect(try Network("::ffff:10.0.0.0/104").contains(address("10.1.2.3")))
        #expect(try !Network("::ffff:10.0.0.0/104").contains(address("11.1.2.3")))
        #expect(try address("::ffff:127.0.0.1").isLoopback)
        #expect(try !address("128.0.0.1").isLoopback)
        #expect(IPAddress(try SocketAddress(ipAddress: "::ffff:10.1.2.3", port: 1)) == (try address("10.1.2.3")))
        #expect(IPAddress(try SocketAddress(ipAddress: "2001:db8::7", port: 1)) == (try address("2001:db8::7")))
    }

    @Test(
        "that is none is refused, with the reason",
        arguments: [
            ("", "numeric address"), ("localhost", "numeric address"), ("10.0.0.0/33", "from 0 to 32"),
            ("::/129", "from 0 to 128"), ("10.0.0.0/-1", "from 0 to 32"), ("10.0.0.0/", "from 0 to 32"),
            ("10.0.0.1/8", "bits behind the first 8"), ("2001:db8::1/32", "bits behind the first 32"),
            ("fe80::1%eth0", "numeric address"),
            ("10.0.0.0/8/8", "from 0 to 32"), ("10.0.0/8", "numeric address"),
            ("10.0.0.0 / 8", "numeric address"), ("010.0.0.0/8", "numeric address"), ("10.0.0.0/08", "from 0 to 32"),
        ])
    func refuses(text: String, reason: String) {
        let error = #expect(throws: ApusError.self) { try Network(text) }
        #expect(error?.code == .usage)
        #expect(error?.message.contains(reason) == true, "\(String(describing: error))")
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
            ("apuss:5", "apuss:5"), ("apus://localhost:5", "localhost:5"), ("*:5", ":5"), ("*", ":7"),
            ("[::1]", "[::1]:7"),
            ("unix:/run/apus.sock", "unix:/run/apus.sock"), ("unix:///a", "unix:/a"), ("apus+unix:///a", "unix:/a"),
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
            ("a:x", "port"), ("[::1]80", "port"), ("apuss://x", "TLS"), ("http://x:1", "not understood"),
            ("unix:", "path"), ("unix:a.sock", "path"), ("unix:/" + String(repeating: "x", count: 107), "107 bytes"),
            ("a:1\u{0}", "control"), ("300.1.1.1:1", "no IPv4"), ("10.0.0:1", "no IPv4"), ("2787", "no IPv4"),
            ("host.010:1", "no IPv4"),
        ])
    func refuses(text: String, word: String) {
        let error = #expect(throws: ApusError.self) { try BindAddress(text, defaultPort: 7) }
        #expect(error?.message.contains(word) == true, "\(error?.message ?? "")")
    }

    @Test("of HTTP may be a URL of HTTP")
    func scheme() throws {
        #expect(try BindAddress("http://10.0.0.1", defaultPort: 7, scheme: "http").description == "10.0.0.1:7")
    }

    @Test(
        "collides with another one on the same port that the system does not tell apart",
        arguments: [
            ("a:1", "A:1", true), ("a:1", "a:2", false), ("a:0", "a:0", false), (":1", "[::1]:1", true),
            ("0.0.0.0:1", "127.0.0.1:1", true), ("0.0.0.0:1", "[::1]:1", false), ("[::]:1", "[::1]:1", true),
            ("[::1]:1", "[0::1]:1", true), ("[fe80::1%a]:1", "[fe80::1%b]:1", false), ("unix:/a", "unix:/a", true),
            ("unix:/a", "unix:/b", false), ("unix:/a", ":1", false),
        ])
    func collides(first: String, second: String, collides: Bool) throws {
        let (first, second) = (try BindAddress(first, defaultPort: 7), try BindAddress(second, defaultPort: 7))
        #expect(first.collides(with: second) == collides)
        #expect(second.collides(with: first) == collides)
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
