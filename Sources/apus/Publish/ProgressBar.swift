internal import Glibc

/// Bytes acknowledged, on a terminal, where there are enough of them to wait for.
struct ProgressBar {
    private static let bytesMin = 1 << 20
    private static let barColumns = 30
    private static let interval = Duration.milliseconds(100)

    private let totalBytes: Int
    private let isShown: Bool
    private var doneBytes = 0
    private let start = ContinuousClock.now
    private var lastDrawn: ContinuousClock.Instant?

    init(totalBytes: Int?, isShown: Bool, isTerminal: Bool = Terminal.isTerminal(STDERR_FILENO)) {
        self.totalBytes = totalBytes ?? 0
        self.isShown = isShown && isTerminal && self.totalBytes >= Self.bytesMin
        draw()
    }

    mutating func advance(by bytes: Int) {
        doneBytes += bytes
        guard isShown else { return }
        let now = ContinuousClock.now
        if let lastDrawn, now - lastDrawn < Self.interval { return }
        lastDrawn = now
        draw()
    }

    /// Leaves the line empty.
    func finish() {
        if isShown { Console.raw(Array("\r\u{1B}[K".utf8)) }
    }

    private func draw() {
        guard isShown else { return }
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        Console.raw(Array("\r\u{1B}[K\(Self.line(doneBytes, of: totalBytes, seconds: seconds))".utf8))
    }

    /// `[#########                     ]  30%  3 MiB of 10 MiB  12 MiB/s`
    static func line(_ done: Int, of total: Int, seconds: Double) -> String {
        let share = total > 0 ? min(1, Double(done) / Double(total)) : 1
        let filled = Int(share * Double(barColumns))
        let bar = String(repeating: "#", count: filled) + String(repeating: " ", count: barColumns - filled)
        let percent = String(Int(share * 100))
        let padded = String(repeating: " ", count: 3 - percent.count) + percent
        let rate = seconds > 0.2 ? "  \(ByteCount.text(Int(Double(done) / seconds)))/s" : ""
        return "[\(bar)] \(padded)%  \(ByteCount.text(done)) of \(ByteCount.text(total))\(rate)"
    }
}
