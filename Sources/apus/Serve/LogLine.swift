internal import ApusModel
internal import Logging

/// One line of the broker's log, as text or as JSON; always one line, whatever stands in it.
struct LogLine {
    let time: Microseconds
    let level: Logger.Level
    let label: String
    let message: String
    let metadata: Logger.Metadata

    /// `{"time":"…Z","level":"notice","label":"apus","message":"…","metadata":{…}}`, the keys of metadata in order.
    var json: [UInt8] {
        var members = [
            JSON.Member("time", .string(Timestamp.text(time))), JSON.Member("level", .string(level.rawValue)),
            JSON.Member("label", .string(label)), JSON.Member("message", .string(message)),
        ]
        if !metadata.isEmpty { members.append(JSON.Member("metadata", LogLine.json(metadata))) }
        return JSON.object(members).bytes + [0x0A]
    }

    private static func json(_ metadata: Logger.Metadata) -> JSON {
        .object(metadata.sorted { $0.key < $1.key }.map { JSON.Member($0.key, json($0.value)) })
    }

    private static func json(_ value: Logger.Metadata.Value) -> JSON {
        switch value {
        case .string(let text): .string(text)
        case .stringConvertible(let value): .string(value.description)
        case .dictionary(let inner): json(inner)
        case .array(let items): .array(items.map(json))
        }
    }

    /// `2026-11-23T04:32:20.860123Z notice apus: message key=value other="two words"`.
    var text: [UInt8] {
        var line = "\(Timestamp.text(time)) \(level.rawValue) \(label): \(message)"
        for (key, value) in metadata.sorted(by: { $0.key < $1.key }) { line += " \(key)=\(LogLine.text(value))" }
        return Array("\(TerminalText.escaped(line))\n".utf8)
    }

    private static func text(_ value: Logger.Metadata.Value) -> String {
        let text =
            switch value {
            case .string(let text): text
            case .stringConvertible(let value): value.description
            case .dictionary, .array: json(value).text
            }
        let isPlain = !text.isEmpty && text.allSatisfy { $0 != " " && $0 != "\"" && $0 != "=" }
        if isPlain { return text }
        return "\"" + text.map { $0 == "\"" || $0 == "\\" ? "\\\($0)" : String($0) }.joined() + "\""
    }
}
