internal import ApusModel

/// A header on the command line: `name:value` or `name=value`.
enum HeaderArgument {
    /// - Throws: `usage`.
    static func parse(_ text: String, separators: Set<Character>) throws(ApusError) -> Headers.Pair {
        guard let end = text.firstIndex(where: { separators.contains($0) }), end > text.startIndex else {
            let form = separators.contains(":") ? "name:value" : "name=value"
            throw ApusError(.usage, "\"\(text)\" is no header", hint: "It is \(form).")
        }
        var value = text[text.index(after: end)...]
        if text[end] == ":", value.first == " " { value = value.dropFirst() }
        return Headers.Pair(String(text[..<end]), String(value))
    }
}
