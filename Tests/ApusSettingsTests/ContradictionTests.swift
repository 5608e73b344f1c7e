import ApusModel
import ApusSettings
import Testing

@Suite("Settings that contradict each other")
struct ContradictionTests {
    @Test(
        "are refused, by line and key",
        arguments: [
            (
                "listeners:\n - address: 127.0.0.1\n   tls: {certificate: c, key: k, client-certificates: require}",
                "apus.yaml:3: listeners[0].tls.client-certificates: is require, and client-ca is missing: "
                    + "who may have signed them?"
            ),
            (
                "listeners:\n - address: 127.0.0.1\n   tls: {certificate: c, key: k,\n     client-ca: x}",
                "apus.yaml:4: listeners[0].tls.client-ca: is not used: client-certificates is none, so nobody is asked "
                    + "for a certificate. Write request or require"
            ),
            (
                "users: u\nlisteners:\n - address: :2789\n   tls:\n     certificate: c",
                "apus.yaml:4: listeners[0].tls.key: is missing: TLS takes a certificate and its key"
            ),
            (
                "listeners:\n - address: unix:/x\n   tls: {certificate: c, key: k}",
                "apus.yaml:2: listeners[0].tls: a Unix socket never leaves the machine: it has no TLS"
            ),
            (
                "listeners:\n - address: 127.0.0.1\n   allow: [10.0.0.0/8]\n   deny: [10.0.0.0/8]",
                "apus.yaml:4: listeners[0].deny: 10.0.0.0/8 stands in allow, too"
            ),
            (
                "listeners:\n - address: unix:/x\n   allow: [10.0.0.0/8]",
                "apus.yaml:3: listeners[0].allow: a Unix socket has no networks: its file has permissions"
            ),
            (
                "listeners:\n - address: unix:/x\n   connect-rate: 5",
                "apus.yaml:3: listeners[0].connect-rate: who connects to a Unix socket has no address"
            ),
            (
                "listeners:\n - address: 127.0.0.1:1\n - address: 127.0.0.1:1",
                "apus.yaml:3: listeners[1].address: 127.0.0.1:1 is listened on already (listeners[0])"
            ),
            (
                "users: u\nlisteners:\n - address: :1\n - address: 127.0.0.1:1",
                "apus.yaml:4: listeners[1].address: 127.0.0.1:1 takes the same port as :1 (listeners[0])"
            ),
            (
                "http: {address: 127.0.0.1:2787}",
                "apus.yaml:1: http.address: 127.0.0.1:2787 takes the same port as listeners[0] (127.0.0.1:2787)"
            ),
            (
                "limits: {max-connections: 10}\nlisteners:\n - address: 127.0.0.1\n   max-connections: 11",
                "apus.yaml:4: listeners[0].max-connections: is 11, and all together have 10 "
                    + "(limits.max-connections)"
            ),
            (
                "listeners:\n - address: 127.0.0.1\n   max-connections: 11\n   max-connections-per-address: 12",
                "apus.yaml:4: listeners[0].max-connections-per-address: is 12, and the whole listener has 11 "
                    + "(max-connections)"
            ),
            (
                "limits:\n  wal-pause: 1M",
                "apus.yaml:2: limits.wal-pause: wal-pause is 1048576, less than wal-checkpoint (8388608)"
            ),
            (
                "limits:\n  max-message-bytes: 65M",
                "apus.yaml:2: limits.receive-bytes: receive-bytes is 67108864, less than max-message-bytes (68157440)"
            ),
        ])
    func refused(text: String, line: String) {
        #expect(problems(text) == [line])
    }

    private static let open = "other machines can reach"

    @Test(
        "A listener that other machines reach without authentication is refused",
        arguments: ["address: :2787", "address: 0.0.0.0:1", "address: 10.0.0.1", "address: '[::]:1'"])
    func reachable(address: String) {
        let lines = problems("listeners:\n - \(address)")
        #expect(lines.count == 1 && lines[0].hasPrefix("apus.yaml:2: listeners[0].address: \(Self.open)"), "\(lines)")
        #expect(problems("users: u\nlisteners:\n - \(address)").isEmpty)
        #expect(problems("allow-anonymous: true\nlisteners:\n - \(address)").isEmpty)
        #expect(problems("listeners:\n - \(address)\n   allow-anonymous: true").isEmpty)
        #expect(
            problems("allow-anonymous: true\nlisteners:\n - \(address)\n   allow-anonymous: false").count == 1,
            "what a listener says for itself wins")
    }

    @Test("So is HTTP, unless there are users, or everybody may see the figures")
    func reachableHTTP() {
        let lines = problems("http: {address: ':2788'}")
        #expect(lines.count == 1 && lines[0].hasPrefix("apus.yaml:1: http.address: \(Self.open)"), "\(lines)")
        #expect(problems("users: u\nhttp: {address: ':2788'}").isEmpty)
        #expect(problems("allow-anonymous: true\nhttp: {address: ':2788'}").isEmpty)
        #expect(problems("http: {address: ':2788', anonymous-metrics: true}").isEmpty)
    }

    @Test("TLS alone is no authentication; client certificates that must be shown are")
    func certificates() {
        let tls = "listeners:\n - address: :2789\n   tls: {certificate: c, key: k, client-ca: x, client-certificates: "
        #expect(problems(tls + "request}").count == 1)
        #expect(problems(tls + "require}").isEmpty)
    }

    @Test("A listener of this machine, and one whose name is not looked up yet, are not")
    func own() {
        #expect(problems("listeners: [{address: '127.0.0.1:1'}, {address: 'unix:/x'}, {address: 'broker:1'}]").isEmpty)
    }

    @Test("By a flag the same rule holds, and is told by the flag")
    func flags() {
        let lines = problems("{}") { $0.listen(":0") }
        #expect(lines.count == 1 && lines[0].hasPrefix("flag --listen: \(Self.open) :0"), "\(lines)")
        #expect(
            problems("{}") {
                $0.listen(":0")
                $0.set("allow-anonymous", "true")
            }.isEmpty)
        #expect(
            problems("{}") {
                $0.listen(":0")
                $0.set("users", "u")
            }.isEmpty)
    }

    @Test("The HTTP door follows the rule, too")
    func http() {
        #expect(problems("http: {address: ':2788'}").count == 1)
        #expect(problems("http: {address: ':2788'}\nusers: u").isEmpty)
        #expect(problems("http: {address: ':2788'}\nallow-anonymous: true").isEmpty)
        #expect(problems("http: {address: 'unix:/x'}").count == 1)
    }

    @Test("Port 0 is another port each time, and the families have sockets of their own")
    func free() {
        #expect(problems("listeners: [{address: '127.0.0.1:0'}, {address: '127.0.0.1:0'}]").isEmpty)
        #expect(problems("users: u\nlisteners: [{address: '0.0.0.0:1'}, {address: '[::1]:1'}]").isEmpty)
    }
}
