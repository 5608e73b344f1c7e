internal import Glibc
internal import NIOConcurrencyHelpers

/// How much of the input is on its way or acknowledged, on a terminal, where there is enough of it to wait for.
///
/// Drawn at most ten times a second, from whichever thread has news. Protected by its lock.
final class ProgressBar: Sendable {
    private static let bytesMin = 1 << 20
    private static let barColumns = 30
    private static let interval = Duration.milliseconds(100)

    private struct State {
        /// Acknowledged.
        var done = 0
        /// Handed over and not acknowledged, and what it is on the wire.
        var handedOver = 0
        var onWire = 0
        /// What was last shown: a message that is sent a second time does not turn it back.
        var shown = 0
        var start: ContinuousClock.Instant
        var lastDrawn: ContinuousClock.Instant?
    }

    let isShown: Bool
    private let totalBytes: Int
    private let now: @Sendable () -> ContinuousClock.Instant
    private let write: @Sendable ([UInt8]) -> Void
    private let state: NIOLockedValueBox<State>

    init(
        totalBytes: Int?, isShown: Bool, isTerminal: Bool = Terminal.isTerminal(STDERR_FILENO),
        now: @escaping @Sendable () -> ContinuousClock.Instant = { .now },
        write: @escaping @Sendable ([UInt8]) -> Void = { Console.raw($0) }
    ) {
        self.totalBytes = totalBytes ?? 0
        self.isShown = isShown && isTerminal && self.totalBytes >= Self.bytesMin
        self.now = now
        self.write = write
        state = NIOLockedValueBox(State(start: now()))
    }

    /// - Parameters:
    ///   - bytes: of the input.
    ///   - onWire: what is sent of it: less, where it is compressed.
    func handOver(_ bytes: Int, onWire: Int) {
        change { state in
            state.handedOver += bytes
            state.onWire += onWire
        }
    }

    /// The connection has taken so much of what it sends at once.
    func sent(_ bytes: Int, of total: Int) {
        change { state in
            let scale = Double(state.handedOver) / Double(max(1, state.onWire))
            // What stands ahead of the payloads on the wire counts for nothing.
            let share = min(Double(bytes), Double(state.onWire)) * scale
            state.shown = max(state.shown, state.done + min(state.handedOver, Int(share)))
        }
    }

    func acknowledge(_ bytes: Int, onWire: Int) {
        change { state in
            state.done += bytes
            state.handedOver -= bytes
            state.onWire -= onWire
            state.shown = max(state.shown, state.done)
        }
    }

    /// Leaves the line empty.
    func finish() {
        if isShown { write(Array("\r\u{1B}[K".utf8)) }
    }

    private func change(_ body: (inout State) -> Void) {
        guard isShown else { return }
        state.withLockedValue { state in
            body(&state)
            let now = now()
            if let lastDrawn = state.lastDrawn, now - lastDrawn < Self.interval { return }
            state.lastDrawn = now
            let line = Self.line(state.shown, of: totalBytes, seconds: (now - state.start) / .seconds(1))
            write(Array("\r\u{1B}[K\(line)".utf8))
        }
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
