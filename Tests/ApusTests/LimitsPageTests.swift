import ApusModel
import Foundation
import Testing

/// docs/LIMITS.md shows `Limits.table`: one line a limit, in the same order.
@Suite("The page of limits")
struct LimitsPageTests {
    @Test("has every limit of the table, with its default, range and meaning")
    func hasEveryLimit() throws {
        let lines = try LimitsPage.lines()
        let expected = Limits.table.map(LimitsPage.line)
        let missing = expected.filter { !lines.contains($0) }
        #expect(missing.isEmpty, "docs/LIMITS.md lacks:\n\(missing.joined(separator: "\n"))")
        let stale = lines.filter { !expected.contains($0) }
        #expect(stale.isEmpty, "docs/LIMITS.md should not have:\n\(stale.joined(separator: "\n"))")
        let isInOrder = lines == expected
        #expect(isInOrder, "docs/LIMITS.md shows the limits in the order of the table")
    }

    @Test("shows bytes as people read them only where that is exact")
    func showsBytes() {
        #expect(LimitsPage.text(1 << 30, "bytes") == "1 GiB")
        #expect(LimitsPage.text(256 << 10, "bytes") == "256 KiB")
        #expect(LimitsPage.text(65_535, "bytes") == "65,535")
        #expect(LimitsPage.text(1_024, "messages") == "1,024")
        #expect(LimitsPage.text(0, "bytes") == "0")
    }
}

private enum LimitsPage {
    /// The lines of the page that describe a limit: they begin with its flag.
    static func lines() throws -> [String] {
        let page = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../docs/LIMITS.md")
        return try String(contentsOf: page, encoding: .utf8).split(separator: "\n").map(String.init)
            .filter { $0.hasPrefix("| `--") }
    }

    static func line(_ row: Limits.Row) -> String {
        let range = "\(text(row.range.lowerBound, row.unit)) to \(text(row.range.upperBound, row.unit))"
        let value = text(row.value(in: .defaults), row.unit)
        return "| `--\(row.name)` | \(value) | \(row.unit) | \(range) | \(row.meaning) |"
    }

    static func text(_ value: Int, _ unit: String) -> String {
        if unit == "bytes", value > 0 {
            for (shift, name) in [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")]
            where value % (1 << shift) == 0 {
                return "\(value >> shift) \(name)"
            }
        }
        return grouped(value)
    }

    /// In groups of three digits.
    private static func grouped(_ value: Int) -> String {
        let digits = Array(String(value))
        return digits.indices.reduce(into: "") { text, index in
            if index > 0, (digits.count - index) % 3 == 0 { text.append(",") }
            text.append(digits[index])
        }
    }
}
