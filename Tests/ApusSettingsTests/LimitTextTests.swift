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
