import ApusModel
import ApusTesting
import Testing

@Suite("Times and durations")
struct TimestampTests {
    static let known: [(text: String, seconds: Int64)] = [
        ("1970-01-01T00:00:00Z", 0), ("1969-12-31T23:59:59Z", -1), ("2000-02-29T00:00:00Z", 951_782_400),
        ("2000-03-01T00:00:00Z", 951_868_800), ("1900-03-01T00:00:00Z", -2_203_891_200),
        ("2024-02-29T12:30:45Z", 1_709_209_845), ("2026-11-23T08:15:00Z", 1_795_421_700),
        ("2038-01-19T03:14:08Z", 2_147_483_648), ("1601-01-01T00:00:00Z", -11_644_473_600),
        ("0001-01-01T00:00:00Z", -62_135_596_800), ("0000-01-01T00:00:00Z", -62_167_219_200),
        ("9999-12-31T23:59:59Z", 253_402_300_799),
        // Offsets are east of UTC.
        ("2026-11-23T09:15:00+01:00", 1_795_421_700), ("2026-11-23T02:45:00-05:30", 1_795_421_700),
        ("2026-11-23T08:15:00+00:00", 1_795_421_700), ("2026-11-23T08:15:00-0000", 1_795_421_700),
        // A leap second counts as the first of the next minute.
        ("2016-12-31T23:59:60Z", 1_483_228_800),
        // What may be left out, or written otherwise.
        ("2026-11-23t08:15:00z", 1_795_421_700), ("2026-11-23 08:15:00Z", 1_795_421_700),
        ("2026-11-23T08:15Z", 1_795_421_700), ("2026-11-23T09:15+0100", 1_795_421_700),
        ("2026-11-23Z", 1_795_392_000),
    ]

    @Test("A time of RFC 3339 is read", arguments: known.indices)
    func parses(_ index: Int) {
        let (text, seconds) = TimestampTests.known[index]
        #expect(Timestamp.parse(text) == seconds * 1_000_000, "\(text)")
    }

    @Test("A time is written in UTC with six digits, and read again")
    func writes() {
        #expect(Timestamp.text(0) == "1970-01-01T00:00:00.000000Z")
        #expect(Timestamp.text(-1) == "1969-12-31T23:59:59.999999Z")
        #expect(Timestamp.text(1_795_421_700_123_456) == "2026-11-23T08:15:00.123456Z")
        var random = SeededRandom(seed: 3_339)
        let first: Microseconds = -62_167_219_200_000_000
        let last: Microseconds = 253_402_300_799_999_999
        for _ in 0..<20_000 {
            let time = Int64.random(in: first...last, using: &random)
            #expect(Timestamp.parse(Timestamp.text(time)) == time)
        }
        for time in [first, last, -1, 0, 1, 951_782_399_999_999] as [Microseconds] {
            #expect(Timestamp.parse(Timestamp.text(time)) == time)
        }
    }

    @Test("Every day of 800 years has its number", arguments: [1_600, 2_000])
    func everyDay(_ firstYear: Int) throws {
        var day = try #require(Timestamp.parse("\(firstYear)-01-01Z")) / 86_400_000_000
        for year in firstYear..<(firstYear + 400) {
            let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
            for (month, days) in [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31].enumerated() {
                let name = "\(year)-\(month < 9 ? "0" : "")\(month + 1)-"
                #expect(Timestamp.parse("\(name)01Z") == day * 86_400_000_000)
                #expect(Timestamp.parse("\(name)\(days)Z") == (day + Int64(days) - 1) * 86_400_000_000)
                #expect(Timestamp.parse("\(name)\(days + 1)Z") == nil)
                day += Int64(days)
            }
        }
    }

    @Test("Any number of microseconds can be written", arguments: [.min, .min + 1, .max] as [Int64])
    func extremes(_ time: Microseconds) {
        #expect(Timestamp.text(time).hasSuffix("Z"))
    }

    @Test("Fractions have any number of digits; what is finer than a microsecond is cut off")
    func fractions() {
        #expect(Timestamp.parse("1970-01-01T00:00:00.5Z") == 500_000)
        #expect(Timestamp.parse("1970-01-01T00:00:00.000001Z") == 1)
        #expect(Timestamp.parse("1970-01-01T00:00:00.1234569Z") == 123_456)
        let long = String(repeating: "9", count: 400)
        #expect(Timestamp.parse("1970-01-01T00:00:00.\(long)Z") == 999_999)
    }

    @Test(
        "What is not a time is none",
        arguments: [
            "", "2026", "2026-11", "2026-11-23", "2026-11-23T", "2026-11-23T08:15:00", "2026-11-23T08Z",
            "2026-13-01Z", "2026-00-01Z", "2026-01-00Z", "2026-01-32Z", "2026-04-31Z", "2025-02-29Z", "1900-02-29Z",
            "2100-02-29Z", "2026-11-23T24:00:00Z", "2026-11-23T08:60:00Z", "2026-11-23T08:15:61Z",
            "2026-11-23T08:15:00.Z", "2026-11-23T08:15:00.5", "2026-11-23T08:15:00+24:00", "2026-11-23T08:15:00+01:60",
            "2026-11-23T08:15:00+1", "2026-11-23T08:15:00ZZ", " 2026-11-23T08:15:00Z", "2026-11-23T08:15:00Z ",
            "26-11-23T08:15:00Z", "+2026-11-23T08:15:00Z", "-001-11-23T08:15:00Z", "2026/11/23T08:15:00Z",
            "2026-11-23T8:15:00Z", "２０２６-11-23Z", "2026-11-23T08:15:00.5\u{301}Z", "yesterday", "1795421700",
        ])
    func refuses(_ text: String) {
        #expect(Timestamp.parse(text) == nil)
    }

    @Test("A text without an offset is a time only where a local offset is given")
    func localTimes() {
        let east = { (_: Microseconds) in 3_600 }
        #expect(Timestamp.parse("2026-11-23T09:15:00", localOffset: east) == 1_795_421_700_000_000)
        #expect(Timestamp.parse("2026-11-23", localOffset: east) == 1_795_388_400_000_000)
        // An offset that is written down wins.
        #expect(Timestamp.parse("2026-11-23T08:15:00Z", localOffset: east) == 1_795_421_700_000_000)
        var asked: Microseconds?
        _ = Timestamp.parse("2026-11-23T09:15:00") {
            asked = $0
            return 0
        }
        #expect(asked == 1_795_425_300_000_000)
    }

    static let durations: [(text: String, micros: Microseconds)] = [
        ("500ms", 500_000), ("10s", 10_000_000), ("10", 10_000_000), ("10m", 600_000_000), ("2h", 7_200_000_000),
        ("7d", 604_800_000_000), ("1w", 604_800_000_000), ("0", 0), ("0s", 0), ("1.5h", 5_400_000_000),
        (".5s", 500_000), ("0.000001", 1), ("0.0000001", 0), ("3200000000", 3_200_000_000_000_000),
    ]

    @Test("A duration is a number with a unit, or of seconds", arguments: durations.indices)
    func parsesDurations(_ index: Int) {
        let (text, micros) = TimestampTests.durations[index]
        #expect(Timestamp.parseDuration(text) == micros, "\(text)")
    }

    @Test(
        "What is not a duration is none",
        arguments: [
            "", "s", "ms", ".", "-1s", "+1s", "1 s", " 1s", "1y", "1S", "1e3s", "inf", "nan", "0x10", "1.2.3s",
            "1,5s", "3200000001", "5292w", "９s", "1ss", "99999999999999999999999999999999w",
        ])
    func refusesDurations(_ text: String) {
        #expect(Timestamp.parseDuration(text) == nil)
    }
}
