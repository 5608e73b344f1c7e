import ApusModel
import ApusWire
import Foundation
import NIOCore
import Testing

/// docs/PROTOCOL.md says nothing that the code does not do: its examples are decoded, its tables compared.
@Suite("The specification")
struct SpecificationTests {
    private let lines: [Substring]

    init() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let text = try String(contentsOf: root.appending(path: "docs/PROTOCOL.md"), encoding: .utf8)
        lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    }

    /// Fenced blocks, with the heading they stand under.
    private var blocks: [(heading: Substring, language: Substring, lines: [Substring])] {
        var blocks: [(heading: Substring, language: Substring, lines: [Substring])] = []
        var heading: Substring = ""
        var open: (language: Substring, lines: [Substring])?
        for line in lines {
            if line.hasPrefix("```") {
                if let block = open { blocks.append((heading, block.language, block.lines)) }
                open = open == nil ? (line.dropFirst(3), []) : nil
            } else if open != nil {
                open?.lines.append(line)
            } else if line.hasPrefix("#") {
                heading = line.drop { $0 == "#" || $0 == " " }
            }
        }
        return blocks
    }

    /// Rows of the table under a heading whose first cell passes.
    private func rows(under prefix: String, where isRow: (Substring) -> Bool) -> [[String]] {
        guard let start = lines.firstIndex(where: { $0.hasPrefix(prefix) }) else { return [] }
        let section = lines[(start + 1)...].prefix { !$0.hasPrefix("## ") && !$0.hasPrefix("### ") }
        return section.filter { $0.hasPrefix("|") }.map { line in
            line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
        }.filter { isRow(Substring($0.first ?? "")) }
    }

    private func bytes(_ block: [Substring]) throws -> [UInt8] {
        // What stands behind two spaces is a remark.
        let digits = block.map { $0.components(separatedBy: "  ").first ?? "" }.joined()
        return try #require(decodeHex(digits), "\(block)")
    }

    @Test("shows frames in hexadecimal that are whole and can be read")
    func hexBlocks() throws {
        let hexBlocks = blocks.filter { $0.language == "hex" }
        #expect(hexBlocks.count >= Kind.allCases.count + 1)
        for block in hexBlocks {
            let reading = read(try bytes(block.lines))
            #expect(reading.error == nil && !reading.isInsideFrame && reading.frames.count == 1, "\(block.heading)")
            #expect(reading.frames.first?.contains("\"kind\":\"invalid\"") == false, "\(block.heading)")
        }
    }

    @Test("shows each kind as JSON and compact, and both mean the same")
    func examples() throws {
        var shown: Set<String> = []
        let blocks = blocks
        for (json, compact) in zip(blocks, blocks.dropFirst()) where json.language == "json" {
            #expect(compact.language == "hex" && compact.heading == json.heading)
            let compactBytes = try bytes(compact.lines)
            let frame = try #require(read(compactBytes).frames.first)
            let header = json.lines.joined()
            let length = try JSONParser.parse(header)["content-length"] ?? .integer(0)
            guard case .integer(let count) = length else { continue }
            let content = Array(compactBytes.suffix(Int(count)))
            #expect(read(jsonFrame(header, content: content)) == Reading(frames: [frame]), "\(json.heading)")
            // The heading is the clause's number and the kind's name.
            let kind = try #require(json.heading.split(separator: " ").last)
            #expect(frame.contains("\"kind\":\"\(kind)\""), "\(json.heading)")
            shown.insert(String(kind))
        }
        #expect(shown == Set(Kind.allCases.map(\.name)))
    }

    @Test("shows only examples that are test vectors")
    func examplesAreVectors() throws {
        let vectors = Set(Vectors.frames.flatMap { [hex($0.json), hex($0.compact)] })
        for block in blocks where block.language == "hex" {
            #expect(vectors.contains(hex(try bytes(block.lines))), "\(block.heading)")
        }
    }

    @Test("lists every field with its tag, name and form")
    func fields() {
        let rows = rows(under: "## 3. ") { $0.first?.isNumber == true }.map { Array($0.prefix(3)) }
        let fields = Field.allCases.map { field in
            let form =
                switch field.form {
                case .integer: "integer"
                case .text: "text"
                case .bool: "bool"
                case .json: "json"
                }
            return ["\(field.rawValue)", "`\(field.name)`", form]
        }
        #expect(rows == fields)
    }

    @Test("lists every kind with its number, and has a clause for each")
    func kinds() {
        let rows = rows(under: "## 4. ") { $0.hasPrefix("0x") }.map { Array($0.prefix(2)) }
        let kinds = Kind.allCases.map { kind in
            let digits = String(kind.rawValue, radix: 16, uppercase: true)
            return ["0x\(digits.count < 2 ? "0" : "")\(digits)", "`\(kind.name)`"]
        }
        #expect(rows == kinds)
        for kind in Kind.allCases { #expect(lines.contains("### 4.\(kind.rawValue) \(kind.name)")) }
    }

    @Test("lists every error code once, and says what follows from it")
    func codes() {
        let rows = rows(under: "## 8. ") { $0.hasPrefix("`") }
        #expect(rows.map { $0[0] } == ApusError.Code.allCases.map { "`\($0.rawValue)`" })
        for row in rows { #expect(row.count == 3 && !row[1].isEmpty && !row[2].isEmpty, "\(row)") }
    }

    @Test("names limits that exist, with their defaults")
    func limits() throws {
        let rows = rows(under: "## 9. ") { $0.hasPrefix("`") }
        #expect(rows.count >= 20)
        for row in rows {
            let limit = try #require(Limits.table.first { "`\($0.name)`" == row[0] }, "\(row[0])")
            #expect(row[1].replacing(",", with: "") == "\(limit.value(in: .defaults))", "\(row[0])")
        }
    }

    @Test("has the clauses that the test vectors name")
    func clauses() {
        let headings = lines.filter { $0.hasPrefix("#") }.map { $0.drop { $0 == "#" || $0 == " " } }
        let numbers = Set(headings.compactMap { $0.split(separator: " ").first }.map { String($0.trimmingSuffix(".")) })
        let clauses =
            Vectors.frames.map(\.clause) + Vectors.accepted.map(\.clause) + Vectors.refused.map(\.clause)
        for clause in Set(clauses) { #expect(numbers.contains(clause), "\(clause)") }
    }

    @Test("bounds the text of an error as the writer does")
    func errorText() {
        #expect(lines.contains { $0.contains("at most 4,096 bytes; may change") })
    }
}

extension Substring {
    fileprivate func trimmingSuffix(_ suffix: String) -> Substring {
        hasSuffix(suffix) ? dropLast(suffix.count) : self
    }
}
