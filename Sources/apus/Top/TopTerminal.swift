internal import Glibc

/// The terminal's other screen while `top` runs; what stood there before comes back in the end.
final class TopTerminal {
    private static let descriptor = STDOUT_FILENO
    private var isOpen = false

    init() {
        isOpen = true
        send("\u{1B}[?1049h\u{1B}[?25l\u{1B}[2J")
    }

    /// Columns and rows, as they are now.
    var size: Terminal.Size { Terminal.size(TopTerminal.descriptor) ?? Terminal.Size(columns: 80, rows: 24) }

    /// Over what stands there, line by line: nothing flickers.
    func draw(_ lines: [String]) {
        send("\u{1B}[H" + lines.map { "\($0)\u{1B}[K" }.joined(separator: "\n") + "\u{1B}[J")
    }

    func close() {
        guard isOpen else { return }
        isOpen = false
        send("\u{1B}[?25h\u{1B}[?1049l")
    }

    deinit { close() }

    /// A terminal that has gone is found out by the end of the process.
    private func send(_ text: String) {
        Array(text.utf8).withUnsafeBytes { _ = FileIO.writeAll($0, to: TopTerminal.descriptor) }
    }
}
