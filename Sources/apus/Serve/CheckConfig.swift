internal import ApusModel
internal import ApusSettings

/// What `--check-config` prints: everything that is in force, and where each value came from.
enum CheckConfig {
    static func append(_ settings: Settings, isJSON: Bool, width: Int?, to out: inout [UInt8]) {
        if isJSON {
            for entry in settings.entries { out += json(entry).bytes + [0x0A] }
        } else {
            var table = Table(
                [
                    Table.Column(title: "KEY"), Table.Column(title: "VALUE", cutRank: 1, columnsMin: 12),
                    Table.Column(title: "FROM"),
                ], width: width)
            for entry in settings.entries {
                table.append([entry.key, TerminalText.escaped(entry.text), from(entry)], to: &out)
            }
            table.finish(to: &out)
        }
    }

    private static func from(_ entry: SettingEntry) -> String {
        let origin = TerminalText.escaped(entry.origin.description)
        return entry.inheritedFrom.map { entry.origin == .standard ? "default (\($0))" : "\(origin) (\($0))" } ?? origin
    }

    /// An object a line.
    private static func json(_ entry: SettingEntry) -> JSON {
        var members = [JSON.Member("key", .string(entry.key)), JSON.Member("value", entry.value)]
        switch entry.origin {
        case .standard: members.append(JSON.Member("source", .string("default")))
        case .file(let path, let line):
            members += [
                JSON.Member("source", .string("file")), JSON.Member("file", .string(path)),
                JSON.Member("line", .integer(Int64(line))),
            ]
        case .environment(let name):
            members += [JSON.Member("source", .string("environment")), JSON.Member("name", .string(name))]
        case .flag(let name): members += [JSON.Member("source", .string("flag")), JSON.Member("name", .string(name))]
        }
        if let inherited = entry.inheritedFrom { members.append(JSON.Member("inherited-from", .string(inherited))) }
        return .object(members)
    }
}
