internal import ApusModel

/// A command that does not exist: said in so many words, with the one that was meant. ArgumentParser would call it an
/// unexpected argument.
enum UnknownCommand {
    /// - Parameters:
    ///   - arguments: without the program's name.
    ///   - names: of the commands there are.
    /// - Returns: nil where the first word is a command, or an option.
    static func error(in arguments: [String], names: [String]) -> ApusError? {
        var words = arguments[...]
        if words.first == "help" { words = words.dropFirst() }
        guard let word = words.first, !word.isEmpty, !word.hasPrefix("-"), word != "help", !names.contains(word) else {
            return nil
        }
        let shown = TerminalText.escaped(String(word.prefix(80)))
        let meant = suggestion(for: word, among: names).map { "; did you mean \"\($0)\"?" } ?? ""
        return ApusError(.usage, "there is no command \"\(shown)\"\(meant)", hint: "`apus --help` lists them.")
    }

    /// The name that is the nearest: one that begins the same, or one that a slip or two of the finger away.
    static func suggestion(for word: String, among names: [String]) -> String? {
        let word = word.lowercased()
        let ranked = names.map { (name: $0, distance: distance(word, $0)) }.sorted { $0.distance < $1.distance }
        if let nearest = ranked.first, nearest.distance <= (word.count < 5 ? 1 : 2) { return nearest.name }
        return names.first { word.count > 1 && ($0.hasPrefix(word) || word.hasPrefix($0)) }
    }

    /// How many letters have to be put in, left out, changed or swapped with their neighbour.
    static func distance(_ first: String, _ second: String) -> Int {
        let a = Array(first.utf8.prefix(64))
        let b = Array(second.utf8.prefix(64))
        var beforeLast: [Int] = []
        var last = Array(0...b.count)
        for i in a.indices {
            var row = [i + 1]
            for j in b.indices {
                var best = min(row[j] + 1, last[j + 1] + 1, last[j] + (a[i] == b[j] ? 0 : 1))
                if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { best = min(best, beforeLast[j - 1] + 1) }
                row.append(best)
            }
            beforeLast = last
            last = row
        }
        return last[b.count]
    }
}
