/// Rows in columns. The first rows decide how wide the columns are; later ones that are wider are not cut, but shift.
struct Table {
    struct Column {
        enum Alignment { case left, right }

        var title: String
        var alignment = Alignment.left
        /// Gives way, in this order (least first), where the terminal is too narrow; 0 never does.
        var cutRank = 0
        var columnsMin = 8
    }

    private static let sampleRows = 200
    private static let gap = 2

    let columns: [Column]
    /// Of the terminal; nil for no limit.
    let width: Int?
    private var waiting: [[String]] = []
    private var widths: [Int] = []

    init(_ columns: [Column], width: Int?) {
        self.columns = columns
        self.width = width
    }

    mutating func append(_ row: [String], to out: inout [UInt8]) {
        guard widths.isEmpty else {
            write(row, to: &out)
            return
        }
        waiting.append(row)
        if waiting.count >= Table.sampleRows { writeWaiting(to: &out) }
    }

    /// Writes what still waits for the widths. Nothing at all where there was no row.
    mutating func finish(to out: inout [UInt8]) {
        if !waiting.isEmpty { writeWaiting(to: &out) }
    }

    private mutating func writeWaiting(to out: inout [UInt8]) {
        widths = fitted(
            natural: columns.indices.map { index in
                waiting.reduce(TextWidth.of(columns[index].title)) { max($0, TextWidth.of($1[index])) }
            })
        write(columns.map(\.title), to: &out)
        for row in waiting { write(row, to: &out) }
        waiting = []
    }

    private func fitted(natural: [Int]) -> [Int] {
        guard let width else { return natural }
        var fitted = natural
        var excess = fitted.reduce(0, +) + Table.gap * (columns.count - 1) - width
        for index in columns.indices.sorted(by: { columns[$0].cutRank < columns[$1].cutRank })
        where excess > 0 && columns[index].cutRank > 0 {
            let given = max(0, min(excess, fitted[index] - columns[index].columnsMin))
            fitted[index] -= given
            excess -= given
        }
        return fitted
    }

    private func write(_ row: [String], to out: inout [UInt8]) {
        for (index, cell) in row.enumerated() {
            let isLast = index == row.count - 1
            let mayCut = width != nil && columns[index].cutRank > 0
            let text = mayCut ? TextWidth.cut(cell, to: widths[index]) : cell
            let padding = [UInt8](repeating: 0x20, count: max(0, widths[index] - TextWidth.of(text)))
            switch columns[index].alignment {
            case .right: out += padding + Array(text.utf8)
            case .left: out += Array(text.utf8) + (isLast ? [] : padding)
            }
            if !isLast { out += [UInt8](repeating: 0x20, count: Table.gap) }
        }
        while out.last == 0x20 { out.removeLast() }
        out.append(0x0A)
    }
}
