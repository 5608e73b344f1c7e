/// Prometheus' text format, version 0.0.4, read strictly: what a scraper might overlook is an error here.
struct Exposition {
    struct Fault: Error, CustomStringConvertible {
        let line: Int
        let what: String

        var description: String { "line \(line): \(what)" }
    }

    struct Series: Hashable {
        let name: String
        let labels: [String: String]
    }

    struct Family {
        let type: String
        let help: String
        /// In the order in which they stand.
        var samples: [(series: Series, value: Double)] = []
    }

    private(set) var families: [String: Family] = [:]

    private var helps: [String: String] = [:]
    private var current: String?
    private var seen: Set<Series> = []

    init(_ text: String) throws {
        guard text.hasSuffix("\n") else { throw Fault(line: 0, what: "the last line does not end") }
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).dropLast().enumerated() {
            do {
                try read(line)
            } catch let fault as Fault {
                throw Fault(line: index + 1, what: "\(fault.what): \(line)")
            }
        }
        for (name, family) in families where family.type == "histogram" { try checkHistogram(name, family) }
    }

    /// The value of a series without labels, or with those that are given.
    func value(_ name: String, _ labels: [String: String] = [:]) -> Double? {
        let base = ["_bucket", "_sum", "_count"].first { name.hasSuffix($0) && families[name] == nil }
        let family = base.map { String(name.dropLast($0.count)) } ?? name
        return families[family]?.samples.first { $0.series == Series(name: name, labels: labels) }?.value
    }

    // MARK: Reading

    private func fault(_ what: String) -> Fault { Fault(line: 0, what: what) }

    private mutating func read(_ line: Substring) throws {
        guard line.first == "#" else { return try readSample(line) }
        let words = line.split(separator: " ", maxSplits: 3, omittingEmptySubsequences: false)
        guard words.count == 4, Exposition.isName(words[2], mayHaveColon: true) else { throw fault("no name") }
        let name = String(words[2])
        switch words[1] {
        case "HELP":
            guard helps[name] == nil else { throw fault("a second HELP") }
            helps[name] = String(words[3])
        case "TYPE":
            guard let help = helps[name], !help.isEmpty else { throw fault("no HELP before TYPE") }
            guard families[name] == nil else { throw fault("a second TYPE") }
            guard ["counter", "gauge", "histogram"].contains(words[3]) else { throw fault("an unknown type") }
            if (words[3] == "counter") != name.hasSuffix("_total") {
                throw fault("_total is for counters, and for all")
            }
            families[name] = Family(type: String(words[3]), help: help)
            current = name
        default: throw fault("a comment of no meaning")
        }
    }

    private mutating func readSample(_ line: Substring) throws {
        var rest = line
        let name = rest.prefix { $0 != "{" && $0 != " " }
        guard Exposition.isName(name, mayHaveColon: true) else { throw fault("no name") }
        rest = rest.dropFirst(name.count)
        let labels = try readLabels(&rest)
        guard rest.first == " " else { throw fault("no space before the value") }
        let text = rest.dropFirst()
        let number: Double? =
            switch text {
            case "+Inf": .infinity
            case "-Inf": -.infinity
            case "NaN": .nan
            default: text.contains { "0123456789".contains($0) } ? Double(text) : nil
            }
        guard let value = number else { throw fault("no value") }
        guard let current, var family = families[current] else { throw fault("a sample without TYPE") }
        let suffixes = family.type == "histogram" ? ["_bucket", "_sum", "_count"] : [""]
        guard suffixes.contains(where: { current + $0 == name }) else { throw fault("not of the family \(current)") }
        if family.type == "counter", !(value >= 0) { throw fault("a counter below 0") }
        let series = Series(name: String(name), labels: labels)
        guard seen.insert(series).inserted else { throw fault("the same series again") }
        family.samples.append((series, value))
        families[current] = family
    }

    private func readLabels(_ rest: inout Substring) throws -> [String: String] {
        guard rest.first == "{" else { return [:] }
        rest.removeFirst()
        var labels: [String: String] = [:]
        while true {
            let name = rest.prefix { $0 != "=" }
            guard Exposition.isName(name, mayHaveColon: false), !name.hasPrefix("__") else { throw fault("no label") }
            rest = rest.dropFirst(name.count + 1)
            let value = try readQuoted(&rest)
            guard labels.updateValue(value, forKey: String(name)) == nil else { throw fault("a label twice") }
            switch rest.popFirst() {
            case ",": continue
            case "}": return labels
            default: throw fault("labels that do not end")
            }
        }
    }

    private func readQuoted(_ rest: inout Substring) throws -> String {
        guard rest.popFirst() == "\"" else { throw fault("a label's value without quotes") }
        var value = ""
        while let character = rest.popFirst() {
            switch character {
            case "\"": return value
            case "\\":
                switch rest.popFirst() {
                case "n": value.append("\n")
                case "\\": value.append("\\")
                case "\"": value.append("\"")
                default: throw fault("an unknown escape")
                }
            default: value.append(character)
            }
        }
        throw fault("a label's value that does not end")
    }

    private static func isName(_ text: Substring, mayHaveColon: Bool) -> Bool {
        guard let first = text.unicodeScalars.first, !(48...57).contains(first.value) else { return false }
        return text.unicodeScalars.allSatisfy {
            switch $0.value {
            case 48...57, 65...90, 97...122, 95: true
            case 58: mayHaveColon
            default: false
            }
        }
    }

    /// For each set of labels: bounds and counts that rise, `+Inf` at the end and equal to the count, and a sum.
    private func checkHistogram(_ name: String, _ family: Family) throws {
        var groups: [[String: String]: [(bound: Double, count: Double)]] = [:]
        for sample in family.samples where sample.series.name == "\(name)_bucket" {
            var labels = sample.series.labels
            guard let text = labels.removeValue(forKey: "le") else { throw fault("\(name): a bucket without le") }
            guard let bound = text == "+Inf" ? .infinity : Double(text) else { throw fault("\(name): le=\(text)") }
            groups[labels, default: []].append((bound, sample.value))
        }
        for (labels, buckets) in groups {
            for (one, next) in zip(buckets, buckets.dropFirst()) {
                guard one.bound < next.bound, one.count <= next.count else {
                    throw fault("\(name): buckets do not rise")
                }
            }
            guard buckets.last?.bound == .infinity else { throw fault("\(name): no +Inf") }
            guard value("\(name)_count", labels) == buckets.last?.count else { throw fault("\(name): another count") }
            guard value("\(name)_sum", labels) != nil else { throw fault("\(name): no sum") }
        }
    }
}
