import Foundation

/// Files of the project that name metrics.
enum Project {
    static func text(_ path: String) throws -> String {
        let root = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../..")
        return try String(contentsOf: root.appending(path: path), encoding: .utf8)
    }

    /// The names of metrics in a query: words that are neither functions, keywords, labels nor in braces.
    static func metrics(in expression: String) -> Set<String> {
        var rest = expression[...]
        var names: Set<String> = []
        var depth = 0
        while let first = rest.first {
            if first == "\"" {
                rest = rest.dropFirst().drop { $0 != "\"" }.dropFirst()
                continue
            }
            if first == "{" || first == "[" { depth += 1 }
            if first == "}" || first == "]" { depth -= 1 }
            if first.isNumber {
                rest = rest.drop { $0.isNumber || $0.isLetter || $0 == "." }
                continue
            }
            guard first.isLetter || first == "_" || first == "$" else {
                rest.removeFirst()
                continue
            }
            let word = String(rest.prefix { $0.isLetter || $0.isNumber || $0 == "_" || $0 == "$" || $0 == ":" })
            rest = rest.dropFirst(word.count)
            let isCalled = rest.first == "("
            let takesLabels = ["by", "on", "ignoring", "without", "group_left", "group_right"].contains(word)
            if takesLabels {
                // Its labels stand in parentheses.
                rest = rest.drop { $0 == " " }
                if rest.first == "(" { rest = rest.drop { $0 != ")" }.dropFirst() }
            } else if depth == 0, !isCalled, !word.hasPrefix("$"),
                !["and", "or", "unless", "bool", "offset", "sum", "max", "min", "avg", "count", "topk"].contains(word)
            {
                names.insert(word)
            }
        }
        return names
    }

    /// Every query of a dashboard.
    static func expressions(in value: Any) -> [String] {
        if let object = value as? [String: Any] {
            return object.flatMap { name, value -> [String] in
                if name == "expr", let text = value as? String { return [text] }
                return expressions(in: value)
            }
        }
        return (value as? [Any] ?? []).flatMap(expressions)
    }
}
