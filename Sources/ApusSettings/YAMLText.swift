internal import ApusModel
internal import Yams

/// One YAML document as nodes that know their lines. Nothing in the text traps; what is no YAML is a problem.
struct YAMLText {
    /// The root; nil for a file with nothing in it.
    let root: Node?
    /// Keys that stand in a map once more, renamed so that the rest can be read all the same.
    private let renamed: [String: String]

    /// More than a person writes; each one costs a reading of the whole text.
    private static let duplicatesMax = 20

    /// - Parameter path: for the problems' places.
    init(_ bytes: [UInt8], path: String, problems: inout ProblemList) {
        var renamed: [String: String] = [:]
        root = YAMLText.text(bytes, path, &problems).flatMap { YAMLText.compose($0, path, &renamed, &problems) }
        self.renamed = renamed
    }

    private static func compose(
        _ text: String, _ path: String, _ renamed: inout [String: String], _ problems: inout ProblemList
    ) -> Node? {
        var text = text
        while true {
            do {
                // Without the rules of YAML 1.1 (`no` is false, 1:30 is 90): what a text means, its option knows.
                return try Yams.compose(yaml: text, .basic, .default, .utf8)
            } catch let error as YamlError {
                if let changed = withoutDuplicate(error, text, &renamed) {
                    text = changed
                    continue
                }
                let (line, message) = explain(error, text)
                problems.add(.file(path, line: line), "", message)
            } catch {
                problems.add(.file(path, line: 1), "", "cannot be read as YAML: \("\(error)".shown)")
            }
            return nil
        }
    }

    /// Yams refuses a map with the same key twice, and says no more: with the first one renamed, the rest is read, and
    /// everything else that is wrong is told as well.
    ///
    /// - Returns: nil where that is not what is wrong, or goes on for too long.
    private static func withoutDuplicate(
        _ error: YamlError, _ text: String, _ renamed: inout [String: String]
    ) -> String? {
        guard case .duplicatedKeysInMapping(let keys, let context) = error, let key = keys.first,
            renamed.count < duplicatesMax
        else { return nil }
        let name = "duplicate \(renamed.count) of \(key)"
        guard let changed = rename(key, to: name, in: text, at: context.mark) else { return nil }
        renamed[name] = key
        return changed
    }

    /// The key as it was written, if `name` is one that stands in its map once more.
    func duplicated(_ name: String) -> String? { renamed[name] }

    private static func text(_ bytes: [UInt8], _ path: String, _ problems: inout ProblemList) -> String? {
        if let text = String(validating: bytes, as: UTF8.self) { return text }
        // The first line that is none by itself: UTF-8's bytes never look like a newline.
        var line = 1
        for part in bytes.split(separator: 0x0A, omittingEmptySubsequences: false) {
            if String(validating: part, as: UTF8.self) == nil { break }
            line += 1
        }
        problems.add(.file(path, line: line), "", "this line is not UTF-8")
        return nil
    }

    /// - Returns: nil where the key does not stand at the mark as it is, so that it cannot be replaced.
    private static func rename(_ key: String, to name: String, in text: String, at mark: Mark) -> String? {
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        guard lines.indices.contains(mark.line - 1), !key.isEmpty, key.shown == key,
            !key.contains(where: { $0 == "\"" || $0 == "\\" })
        else { return nil }
        let line = lines[mark.line - 1].unicodeScalars
        guard let start = line.index(line.startIndex, offsetBy: mark.column - 1, limitedBy: line.endIndex) else {
            return nil
        }
        let rest = Substring(line[start...])
        for written in [key, "\"\(key)\"", "'\(key)'"] where rest.hasPrefix(written) {
            let changed = Substring(line[..<start]) + "\"\(name)\"" + rest.dropFirst(written.count)
            lines[mark.line - 1] = Substring(changed)
            return lines.joined(separator: "\n")
        }
        return nil
    }

    private static func explain(_ error: YamlError, _ text: String) -> (line: Int, message: String) {
        switch error {
        case .composer(_, "but found another document", let mark, _):
            return (mark.line, "a second document begins here; one file is one document")
        case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _),
            .composer(let context, let problem, let mark, _):
            let place = context.map {
                $0.mark.line == mark.line ? "" : ", \($0.text) that began in line \($0.mark.line)"
            }
            return (mark.line, "no YAML: \(problem)\(place ?? "")\(hint(text, mark.line))")
        case .reader(let problem, let offset, _, _):
            let end = offset.flatMap { text.index(text.startIndex, offsetBy: $0, limitedBy: text.endIndex) }
            let line = 1 + text[..<(end ?? text.startIndex)].utf8.count { $0 == 0x0A }
            return (line, "no YAML: \(problem)")
        case .duplicatedKeysInMapping(let keys, let context):
            let names = keys.map { "\"\($0.shown)\"" }.joined(separator: ", ")
            return (context.mark.line, "stands more than once in its map: \(names)")
        default: return (1, "cannot be read as YAML: \("\(error)".shown)")
        }
    }

    /// The two mistakes that YAML's own words explain badly.
    private static func hint(_ text: String, _ number: Int) -> String {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        guard lines.indices.contains(number - 1) else { return "" }
        let near = [number - 2, number - 1].filter(lines.indices.contains).map { lines[$0] }
        if near.contains(where: { ($0.contains("]:") || $0.contains("[:")) && !$0.contains("\"") }) {
            return ". An IPv6 address stands in quotation marks: \"[::1]:2787\""
        }
        return near.contains { $0.contains("\t") } ? ". Indent with spaces, not with tabs" : ""
    }
}
