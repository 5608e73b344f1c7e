internal import ApusModel

/// A JSON object for people: names and values, an object in it as a section, an array of objects as a table.
///
/// It knows no field by name but the limits' units, so that it shows what a newer broker has to say.
enum StatusTable {
    static func append(_ status: JSON, to out: inout [UInt8]) {
        guard case .object(let members) = status else {
            out += "\(TerminalText.escaped(status.text))\n".utf8
            return
        }
        appendScalars(members, to: &out)
        for member in members where !isScalar(member.value) {
            out += "\n\(title(member.name))\n".utf8
            switch member.value {
            case .object([]), .array([]): out += "  none\n".utf8
            case .object(let inner): appendScalars(inner.map(flattened), indent: "  ", to: &out)
            case .array(let items): appendRows(items, to: &out)
            default: break
            }
        }
    }

    private static func isScalar(_ value: JSON) -> Bool {
        switch value {
        case .object, .array: false
        default: true
        }
    }

    private static func flattened(_ member: JSON.Member) -> JSON.Member {
        isScalar(member.value) ? member : JSON.Member(member.name, .string(member.value.text))
    }

    private static func appendScalars(_ members: [JSON.Member], indent: String = "", to out: inout [UInt8]) {
        let scalars = members.filter { isScalar($0.value) }
        let width = scalars.reduce(0) { max($0, TextWidth.of(TerminalText.escaped($1.name))) }
        for member in scalars {
            let name = TerminalText.escaped(member.name)
            let padding = String(repeating: " ", count: width - TextWidth.of(name) + 2)
            out += "\(indent)\(name)\(padding)\(text(member.value, name: member.name))\n".utf8
        }
    }

    private static func appendRows(_ items: [JSON], to out: inout [UInt8]) {
        var names: [String] = []
        for case .object(let members) in items {
            for member in members where !names.contains(member.name) { names.append(member.name) }
        }
        guard !names.isEmpty else {
            for item in items { out += "  \(text(item, name: ""))\n".utf8 }
            return
        }
        var table = Table(names.map { .init(title: "  \(TerminalText.escaped($0))") }, width: nil)
        for item in items {
            table.append(names.map { name in "  " + (item[name].map { text($0, name: name) } ?? "-") }, to: &out)
        }
        table.finish(to: &out)
    }

    private static func number(_ value: Int, unit: String) -> String {
        if unit == "bytes" { return value < 1_024 ? "\(value) B" : "\(ByteCount.text(value)) (\(value))" }
        return unit.isEmpty ? "\(value)" : "\(value) \(unit)"
    }

    /// Of the limits.
    private static let units = Dictionary(Limits.table.map { ($0.name, $0.unit) }) { first, _ in first }

    private static func title(_ name: String) -> String { TerminalText.escaped(name).uppercased() }

    private static func text(_ value: JSON, name: String) -> String {
        switch value {
        case .null: "-"
        case .bool(let value): value ? "yes" : "no"
        case .integer(let value):
            number(Int(value), unit: units[name] ?? (name.hasSuffix("bytes") ? "bytes" : ""))
        case .string(let value): TerminalText.escaped(value)
        default: TerminalText.escaped(value.text)
        }
    }
}
