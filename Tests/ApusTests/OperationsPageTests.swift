import ApusModel
import Foundation
import Testing

@testable import apus

/// docs/OPERATIONS.md: whoever meets an error, an exit code or a limit finds it there.
@Suite("The page of operations")
struct OperationsPageTests {
    @Test("says of every error code what has happened and what to do")
    func hasEveryErrorCode() throws {
        let rows = try OperationsPage.rows(under: "### By error code").filter { $0[0].hasPrefix("`") }
        let expected = Set(ApusError.Code.allCases.map { "`\($0.rawValue)`" })
        let found = rows.map { $0[0] }
        #expect(Set(found).subtracting(expected).isEmpty, "there are no such codes")
        #expect(expected.subtracting(found).isEmpty, "docs/OPERATIONS.md lacks these codes")
        #expect(found.count == Set(found).count, "a code stands twice")
        for row in rows { #expect(row.count == 3 && row.allSatisfy { !$0.isEmpty }, "\(row)") }
    }

    @Test("has every exit code of the commands")
    func hasEveryExitCode() throws {
        let found = try OperationsPage.rows(under: "### By exit code").compactMap { Int32($0[0]) }
        #expect(Set(ExitStatus.allCases.map(\.rawValue)).subtracting(found).isEmpty)
    }

    @Test("tunes limits that exist")
    func tunesLimits() throws {
        let rows = try OperationsPage.rows(under: "## Tune").filter { $0.count == 3 && $0[1].hasPrefix("`") }
        #expect(rows.count >= 10)
        let names = Set(Limits.table.map { "`\($0.name)`" })
        for row in rows { #expect(names.contains(row[1]), "\(row[1]) is no limit") }
    }
}

private enum OperationsPage {
    /// The rows of the tables below a heading, up to the next heading; cells without the space around them.
    static func rows(under heading: String) throws -> [[String]] {
        let page = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../docs/OPERATIONS.md")
        let lines = try String(contentsOf: page, encoding: .utf8).components(separatedBy: "\n")
        let begin = try #require(lines.firstIndex(of: heading), "there is no heading \(heading)")
        return lines[(begin + 1)...].prefix { !$0.hasPrefix("#") }.filter { $0.hasPrefix("|") }.map { line in
            line.dropFirst().dropLast().components(separatedBy: "|").map { $0.trimmingCharacters(in: .whitespaces) }
        }
    }
}
