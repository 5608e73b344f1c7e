import ApusModel
import Testing

@testable import apus

@Suite("The screen of top")
struct TopScreenTests {
    private static let now: Microseconds = 1_763_885_700_000_000

    private func status(_ change: [String: JSON?] = [:], _ more: [JSON.Member] = []) -> JSON {
        let members: [JSON.Member] = [
            .init("version", .string("0.1.0")), .init("started", .string("2025-11-23T05:03:00Z")),
            .init("log", .string("l")), .init("path", .string("/var/lib/apus/apus.db")), .init("head", .integer(1_000)),
            .init("first", .integer(1)), .init("topics", .integer(12)), .init("file-bytes", .integer(3 << 20)),
            .init("wal-bytes", .integer(1_536)), .init("connections", .integer(7)), .init("cursors", .integer(3)),
            .init("messages-in", .integer(5_000)), .init("messages-out", .integer(9_000)),
            .init("bytes-in", .integer(1 << 20)), .init("bytes-out", .integer(2 << 20)), .init("commits", .integer(40)),
            .init("cursors-behind-tail", .integer(1)), .init("lag-max", .integer(1_234_567)),
            .init("uncommitted-bytes", .integer(0)),
            .init("errors", .object([.init("not-allowed", .integer(3)), .init("storage-full", .integer(9))])),
        ]
        return .object(
            members.compactMap { member in
                guard let value = change[member.name] else { return member }
                return value.map { JSON.Member(member.name, $0) }
            } + more)
    }

    private func interval(_ before: JSON?, _ after: JSON, seconds: Double = 2) -> TopInterval {
        TopInterval(from: before.map { TopSnapshot($0, seconds: 10) }, to: TopSnapshot(after, seconds: 10 + seconds))
    }

    private func lines(_ interval: TopInterval?, width: Int = 80, height: Int? = nil, notice: String? = nil) -> [String]
    {
        TopScreen(
            server: "apus://127.0.0.1:2787", interval: interval, notice: notice, now: Self.now, width: width,
            height: height
        ).lines()
    }

    @Test("Two looks make rates, and everything has its place")
    func screen() {
        let after = status([
            "head": .integer(1_007), "messages-in": .integer(7_469), "messages-out": .integer(9_001),
            "bytes-in": .integer(5 << 20), "commits": .integer(40),
            "errors": .object([
                .init("not-allowed", .integer(5)), .init("storage-full", .integer(9)), .init("tooth", .integer(1)),
            ]),
        ])
        let expected = """
            apus 0.1.0  apus://127.0.0.1:2787  up 3 h 12 min  2025-11-23T08:15:00Z
            /var/lib/apus/apus.db

            TRAFFIC
            messages in      1,235/s  messages out       0.5/s  bytes in         2 MiB/s
            bytes out          0 B/s  seqs               3.5/s  commits              0/s

            BROKER
            connections            7  cursors                3  behind the tail        1
            largest lag    1,234,567  uncommitted          0 B

            LOG
            head               1,007  first                  1  topics                12
            file               3 MiB  WAL              1.5 KiB

            REFUSED       TOTAL    NOW
            not-allowed       5  1.0/s
            tooth             1  0.5/s
            storage-full      9    0/s
            """
        #expect(
            lines(interval(status(), after))
                == expected.split(separator: "\n", omittingEmptySubsequences: false).map(String.init))
    }

    @Test(
        "It fits every window, and one cell stands below the other where it is narrow",
        arguments: [40, 57, 80, 120, 200])
    func width(width: Int) {
        let slow = JSON.object([
            .init("connection", .string("0.17")), .init("lag", .integer(5_000_000)), .init("behind-tail", .bool(true)),
            .init("waits-for", .string(String(repeating: "client ", count: 30))),
        ])
        let after = status(
            ["path": .string("/" + String(repeating: "long/", count: 60))], [.init("slowest-cursors", .array([slow]))])
        for interval in [interval(status(), after), interval(nil, after)] {
            let all = lines(interval, width: width)
            #expect(all.allSatisfy { TextWidth.of($0) <= width })
            #expect(all.contains { $0.hasPrefix("connections") })
            #expect(all.contains { $0.contains("5,000,000") })
            let cells = max(1, (width + 2) / 26)
            #expect(all.count { $0.hasPrefix("messages in") } == 1)
            #expect(all.first { $0.hasPrefix("messages in") }?.contains("messages out") == (cells > 1))
            for height in [1, 5, 24] {
                let cut = lines(interval, width: width, height: height)
                #expect(cut == Array(all.prefix(height)))
            }
        }
    }

    @Test("What a broker does not say is a dash")
    func missing() {
        let names = [
            "messages-in", "bytes-out", "commits", "lag-max", "errors", "path", "started", "wal-bytes", "version",
        ]
        let bare = status(Dictionary(uniqueKeysWithValues: names.map { ($0, JSON?.none) }))
        let shown = lines(interval(bare, bare))
        for cell in [
            "messages in            -", "bytes out              -", "commits                -",
            "largest lag            -", "WAL                    -", "REFUSED  -", "up -",
        ] { #expect(shown.contains { $0.contains(cell) }, "\(cell)") }
        for odd in [
            JSON.object([]), .null, .array([.integer(1)]), .string("x"),
            status([
                "head": .string("x"), "errors": .array([]), "file-bytes": .number(1e300), "lag-max": .integer(.min),
                "uncommitted-bytes": .number(-1e300), "connections": .bool(true), "started": .string("yesterday"),
            ]),
            status([:], [.init("slowest-cursors", .array([.null, .integer(1), .object([])]))]),
        ] {
            #expect(lines(interval(odd, odd)).count > 5)
            #expect(lines(interval(status(), odd)).count > 5)
        }
    }

    @Test("There are no rates before the second look, over a restart, and none below zero")
    func noRates() {
        let restarted = status(["started": .string("2025-11-23T08:14:00Z")])
        for one in [interval(nil, status()), interval(status(), restarted), interval(status(), status(), seconds: 0)] {
            #expect(one.seconds == nil)
            #expect(TopInterval.counters.allSatisfy { one.rate($0) == nil })
            #expect(lines(one).contains { $0.hasPrefix("messages in            -") })
        }
        let back = interval(status(), status(["head": .integer(5)]))
        #expect(back.rate("head") == nil)
        #expect(back.rate("commits") == 0)
    }

    @Test("Cursors are shown with whatever the broker says of them")
    func cursors() {
        let cursors: [JSON] = [
            .object([
                .init("connection", .string("1.2")), .init("lag", .integer(9)), .init("behind-tail", .bool(false)),
            ]),
            .object([.init("connection", .string("e\u{1B}[2J")), .init("name", .string("billing"))]),
        ]
        for name in ["slowest-cursors", "cursors"] {
            let shown = lines(interval(nil, status(["cursors": nil], [.init(name, .array(cursors))])))
            #expect(
                shown.suffix(4) == [
                    "CURSORS BEHIND", "connection  lag  behind-tail  name", "1.2         9    no           -",
                    "e\\x1b[2J    -    -            billing",
                ])
        }
        #expect(
            lines(interval(nil, status([:], [.init("slowest-cursors", .array([]))]))).last == "CURSORS BEHIND  none")
    }

    @Test("A notice stands above what was known last, and alone where nothing was")
    func notice() {
        #expect(
            lines(nil, notice: "gone; reconnecting") == [
                "apus  apus://127.0.0.1:2787  up -  2025-11-23T08:15:00Z", "-", "gone; reconnecting",
            ])
        #expect(lines(interval(nil, status()), notice: "gone")[2] == "gone")
    }

    @Test("As JSON it has the time, the rates and the status")
    func json() throws {
        let after = status(["head": .integer(1_007)])
        let json = interval(status(), after).json(time: Self.now)
        #expect(json["time"] == .string("2025-11-23T08:15:00.000000Z"))
        #expect(json["seconds"] == .number(2))
        #expect(json["rates"]?["head"] == .number(3.5))
        #expect(json["status"] == after)
        #expect(interval(nil, after).json(time: Self.now)["rates"]?["head"] == .null)
    }

    @Test(
        "How long is said in two units at most",
        arguments: [
            (0, "0 s"), (59, "59 s"), (60, "1 min"), (3_599, "59 min"), (11_520, "3 h 12 min"), (270_000, "3 d 3 h"),
        ])
    func duration(seconds: Int64, text: String) {
        #expect(TopScreen.duration(seconds: seconds) == text)
    }
}
