import ApusSettings
import Testing

/// docs/CONFIGURATION.md shows `SettingsOption.all`: one line an option, in the same order.
@Suite("The page of the configuration")
struct PageTests {
    @Test("has every option, with its default, what it takes, and when a change takes effect")
    func hasEveryOption() throws {
        let lines = try project("docs/CONFIGURATION.md").split(separator: "\n").map(String.init)
            .filter { $0.hasPrefix("| `") && $0.split(separator: "|").count == 6 }
        // The limits have a page of their own.
        let expected = SettingsOption.all.filter { !$0.key.hasPrefix("limits.") }.map(line)
        let missing = expected.filter { !lines.contains($0) }
        #expect(missing.isEmpty, "docs/CONFIGURATION.md lacks:\n\(missing.joined(separator: "\n"))")
        let stale = lines.filter { !expected.contains($0) }
        #expect(stale.isEmpty, "docs/CONFIGURATION.md should not have:\n\(stale.joined(separator: "\n"))")
        let isInOrder = lines == expected
        #expect(isInOrder, "docs/CONFIGURATION.md shows the options in the order of the list")
    }

    private func line(_ option: SettingsOption) -> String {
        let key = option.key.replacing("[]", with: "[…]")
        let flag = option.flag.map { "`\($0)`" } ?? ""
        let variable = option.environment.map { "`\($0)`" } ?? ""
        let names = [flag, variable].filter { !$0.isEmpty }.joined(separator: " ")
        let takes = option.kindText.replacing(" | ", with: ", ")
        return "| `\(key)` | \(option.standard) | \(takes) | \(names) | \(option.change.rawValue) | \(option.meaning) |"
    }
}
