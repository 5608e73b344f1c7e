internal import ApusModel

/// The lines that `top` shows: a pure function of two snapshots and the room there is.
struct TopScreen {
    private static let unknown = "-"
    private static let cellColumns = 24
    private static let gapColumns = 2
    private static let errorsMax = 8

    let server: String
    let interval: TopInterval?
    /// Why there is nothing new, if so.
    var notice: String?
    /// Wall clock, for how long the broker has been up.
    let now: Microseconds
    let width: Int
    /// Lines; nil for as many as there are.
    var height: Int?

    /// No line is wider than `width`, and there are no more than `height`; what has no room is left out at the end.
    func lines() -> [String] {
        var lines = heading
        if let notice { lines.append(TerminalText.escaped(notice)) }
        if let interval {
            lines += section("TRAFFIC", traffic(interval))
            lines += section("BROKER", broker(interval.to))
            lines += section("LOG", log(interval.to))
            lines += errors(interval)
            lines += cursors(interval.to)
        }
        let cut = lines.map { TextWidth.cut($0, to: width) }
        return height.map { Array(cut.prefix(max(1, $0))) } ?? cut
    }

    private var heading: [String] {
        let status = interval?.to
        let version = status?.text("version").map { " " + TerminalText.escaped($0) } ?? ""
        let path = status?.text("path").map { TerminalText.escaped($0) } ?? TopScreen.unknown
        // To the second: it is looked at once a second.
        let time = "\(Timestamp.text(now).prefix(19))Z"
        return ["apus\(version)  \(server)  up \(upTime(status))  \(time)", path]
    }

    private func upTime(_ status: TopSnapshot?) -> String {
        guard let text = status?.text("started"), let started = Timestamp.parse(text, localOffset: { _ in 0 }) else {
            return TopScreen.unknown
        }
        return TopScreen.duration(seconds: max(0, (now - started) / 1_000_000))
    }

    // MARK: Figures in cells

    private typealias Cell = (label: String, value: String)

    private func traffic(_ interval: TopInterval) -> [Cell] {
        func count(_ name: String) -> String { TopScreen.rate(interval.rate(name)) }
        func bytes(_ name: String) -> String {
            interval.rate(name).map { "\(TopScreen.bytes($0))/s" } ?? TopScreen.unknown
        }
        return [
            ("messages in", count("messages-in")), ("messages out", count("messages-out")),
            ("bytes in", bytes("bytes-in")), ("bytes out", bytes("bytes-out")), ("seqs", count("head")),
            ("commits", count("commits")),
        ]
    }

    private func broker(_ status: TopSnapshot) -> [Cell] {
        [
            ("connections", count(status, "connections")), ("cursors", count(status, "cursors")),
            ("behind the tail", count(status, "cursors-behind-tail")), ("largest lag", count(status, "lag-max")),
            ("uncommitted", bytes(status, "uncommitted-bytes")),
        ]
    }

    private func log(_ status: TopSnapshot) -> [Cell] {
        [
            ("head", count(status, "head")), ("first", count(status, "first")), ("topics", count(status, "topics")),
            ("file", bytes(status, "file-bytes")), ("WAL", bytes(status, "wal-bytes")),
        ]
    }

    private func count(_ status: TopSnapshot, _ name: String) -> String {
        status.number(name).map(TopScreen.grouped) ?? TopScreen.unknown
    }

    private func bytes(_ status: TopSnapshot, _ name: String) -> String {
        status.number(name).map(TopScreen.bytes) ?? TopScreen.unknown
    }

    /// As many cells beside each other as there is room for, names on the left and values on the right.
    private func section(_ title: String, _ cells: [Cell]) -> [String] {
        let columns = max(1, (width + TopScreen.gapColumns) / (TopScreen.cellColumns + TopScreen.gapColumns))
        var lines = ["", title]
        var row: [String] = []
        for cell in cells {
            let padding = max(1, TopScreen.cellColumns - TextWidth.of(cell.label) - TextWidth.of(cell.value))
            row.append(cell.label + String(repeating: " ", count: padding) + cell.value)
            if row.count == columns {
                lines.append(row.joined(separator: String(repeating: " ", count: TopScreen.gapColumns)))
                row = []
            }
        }
        if !row.isEmpty { lines.append(row.joined(separator: String(repeating: " ", count: TopScreen.gapColumns))) }
        return lines
    }

    // MARK: Tables

    /// What is refused now comes first, then what was refused most.
    private func errors(_ interval: TopInterval) -> [String] {
        guard let errors = interval.to.errors else { return ["", "REFUSED  \(TopScreen.unknown)"] }
        guard !errors.isEmpty else { return ["", "REFUSED  nothing"] }
        let ranked = errors.map { (code: $0.code, count: $0.count, rate: interval.errorRate($0.code)) }
            .sorted { ($0.rate ?? 0, $0.count, $1.code) > ($1.rate ?? 0, $1.count, $0.code) }
        return table(
            [
                .init(title: "REFUSED", cutRank: 1, columnsMin: 8), .init(title: "TOTAL", alignment: .right),
                .init(title: "NOW", alignment: .right),
            ],
            ranked.prefix(TopScreen.errorsMax).map {
                [TerminalText.escaped($0.code), TopScreen.grouped($0.count), TopScreen.rate($0.rate)]
            })
    }

    /// The members of the objects, whatever a broker has to say of its cursors.
    private func cursors(_ status: TopSnapshot) -> [String] {
        guard let cursors = status.cursors else { return [] }
        var names: [String] = []
        for case .object(let members) in cursors {
            for member in members where !names.contains(member.name) { names.append(member.name) }
        }
        guard !names.isEmpty else { return ["", "CURSORS BEHIND  none"] }
        var lines = ["", "CURSORS BEHIND"]
        lines += table(
            names.enumerated().map { index, name in
                .init(title: TerminalText.escaped(name), cutRank: names.count - index, columnsMin: 4)
            },
            cursors.map { cursor in names.map { TopScreen.text(cursor[$0]) } }
        ).dropFirst()
        return lines
    }

    private func table(_ columns: [Table.Column], _ rows: [[String]]) -> [String] {
        var table = Table(columns, width: width)
        var out: [UInt8] = []
        for row in rows { table.append(row, to: &out) }
        table.finish(to: &out)
        return [""] + String(decoding: out, as: UTF8.self).split(separator: "\n").map(String.init)
    }

    // MARK: Values

    private static func text(_ value: JSON?) -> String {
        switch value {
        case nil, .null: unknown
        case .bool(let value): value ? "yes" : "no"
        case .integer(let value): grouped(Double(value))
        case .string(let text): TerminalText.escaped(text)
        case .some(let value): TerminalText.escaped(value.text)
        }
    }

    /// `0.5/s`, `1,234/s`.
    static func rate(_ value: Double?) -> String {
        guard let value else { return unknown }
        guard value > 0, value < 10 else { return "\(grouped(value))/s" }
        let tenths = Int((value * 10).rounded(.up))
        return "\(tenths / 10).\(tenths % 10)/s"
    }

    /// `1,234,567`. Beyond what a whole number holds exactly it is the nearest.
    static func grouped(_ value: Double) -> String {
        let digits = Array(String(whole(value)))
        var out = ""
        for (index, digit) in digits.enumerated() {
            let left = digits.count - index
            if index > 0, left % 3 == 0, digits[index - 1] != "-" { out.append(",") }
            out.append(digit)
        }
        return out
    }

    private static func bytes(_ value: Double) -> String { ByteCount.text(Int(whole(value))) }

    /// Whatever number a broker sends.
    private static func whole(_ value: Double) -> Int64 {
        Int64(exactly: value.rounded()) ?? (value > 0 ? .max : .min)
    }

    /// `45 s`, `12 min`, `3 h 12 min`, `5 d 3 h`.
    static func duration(seconds: Int64) -> String {
        switch seconds {
        case ..<60: "\(seconds) s"
        case ..<3_600: "\(seconds / 60) min"
        case ..<86_400: "\(seconds / 3_600) h \(seconds / 60 % 60) min"
        default: "\(seconds / 86_400) d \(seconds / 3_600 % 24) h"
        }
    }
}
