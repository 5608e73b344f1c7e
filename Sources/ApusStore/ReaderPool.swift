internal import ApusBroker
internal import ApusModel

/// What a reader needs to know.
struct ReaderSettings {
    let file: LogFile
    let use: LogFile.Use
    let limits: Limits
    let shared: SharedState
    let clock: @Sendable () -> Microseconds
    /// Where the head is: in a broker with the writer, which has checked it; else in the file.
    var readsHeadFromFile = false
}

/// A few read-only connections, each used by one thread at a time.
///
/// `@unchecked Sendable`: readers are only touched by who has taken them out; `state` guards the rest.
final class ReaderPool: @unchecked Sendable {
    private struct State {
        var idle: [LogReader] = []
        var count = 0
        var isClosed = false
    }

    private let settings: ReaderSettings
    private let readersMax: Int
    private let state = ConditionLockedState(State())

    init(settings: ReaderSettings, readersMax: Int) {
        self.settings = settings
        self.readersMax = readersMax
    }

    /// Opens all of them; else each is opened when it is needed.
    func open() throws(ApusError) {
        for _ in 0..<readersMax {
            let reader = try LogReader(settings)
            state.change { state in
                state.idle.append(reader)
                state.count += 1
            }
        }
    }

    /// Runs `body` with a reader, waiting for one.
    func read<T>(_ body: (LogReader) throws(ApusError) -> T) throws(ApusError) -> T {
        try settings.shared.check()
        let reader = try take()
        defer { state.change { $0.idle.append(reader) } }
        return try body(reader)
    }

    private func take() throws(ApusError) -> LogReader {
        enum Taken {
            case reader(LogReader)
            case mayOpen
            case closed
        }
        let max = readersMax
        let taken: Taken = state.wait(
            until: { $0.isClosed || !$0.idle.isEmpty || $0.count < max },
            then: { state in
                if state.isClosed { return .closed }
                if let reader = state.idle.popLast() { return .reader(reader) }
                state.count += 1
                return .mayOpen
            })
        switch taken {
        case .reader(let reader): return reader
        case .closed: throw ApusError(.closed, "the log is closed")
        case .mayOpen:
            do {
                return try LogReader(settings)
            } catch {
                state.change { $0.count -= 1 }
                throw error
            }
        }
    }

    /// Waits for the readers in use and closes all.
    func close() {
        state.change { $0.isClosed = true }
        let readers = state.wait(
            until: { $0.idle.count == $0.count },
            then: { state in
                let idle = state.idle
                state.idle = []
                state.count = 0
                return idle
            })
        for reader in readers { reader.close() }
    }
}
