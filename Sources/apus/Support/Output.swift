internal import ApusModel
internal import Glibc
internal import NIOConcurrencyHelpers

/// Standard output: collected, and written when 64 KiB have come together, or a moment after the first byte.
///
/// So it is fast where much is at hand, and prompt where a message comes now and then. Bounded by: 64 KiB and what one
/// call of ``write(_:)`` adds; whoever writes more waits for the reader.
final class Output: Sendable {
    enum ClosedPolicy: Sendable {
        /// Nobody reads any more: that is success.
        case exits
        /// What is printed is not the point of the command: it goes on without.
        case discards
    }

    private struct State {
        var buffer: [UInt8] = []
        var isFlushScheduled = false
        var isClosed = false
    }

    private static let flushBytes = 64 << 10
    private static let promptNanoseconds: UInt64 = 1_000_000

    private let descriptor: Int32
    private let whenClosed: ClosedPolicy
    private let state = NIOLockedValueBox(State())

    init(descriptor: Int32 = STDOUT_FILENO, whenClosed: ClosedPolicy = .exits) {
        self.descriptor = descriptor
        self.whenClosed = whenClosed
        isTerminal = Terminal.isTerminal(descriptor)
    }

    let isTerminal: Bool

    func write(_ body: (inout [UInt8]) -> Void) {
        let schedules = state.withLockedValue { state in
            body(&state.buffer)
            if state.buffer.count >= Output.flushBytes { drain(&state) }
            guard !state.buffer.isEmpty, !state.isFlushScheduled else { return false }
            state.isFlushScheduled = true
            return true
        }
        guard schedules else { return }
        Task.detached { [self] in
            try? await Task.sleep(nanoseconds: Output.promptNanoseconds)
            state.withLockedValue { state in
                state.isFlushScheduled = false
                drain(&state)
            }
        }
    }

    /// A line or several of JSON.
    func writeJSON(_ body: (inout [UInt8]) -> Void) {
        guard isTerminal else { return write(body) }
        var lines: [UInt8] = []
        body(&lines)
        write { $0 += TerminalText.json(lines) }
    }

    func flush() {
        state.withLockedValue { drain(&$0) }
    }

    /// Writes under the lock: the order is kept, and a reader that does not read makes everybody wait.
    private func drain(_ state: inout State) {
        defer { state.buffer.removeAll(keepingCapacity: state.buffer.count <= 4 * Output.flushBytes) }
        guard !state.isClosed, !state.buffer.isEmpty else { return }
        let failure = state.buffer.withUnsafeBytes { FileIO.writeAll($0, to: descriptor) }
        guard let failure else { return }
        state.isClosed = true
        if failure == EPIPE {
            if whenClosed == .exits { exit(ExitStatus.done.rawValue) }
        } else {
            Console.error(FileIO.error("cannot write to standard output", errno: failure))
            exit(ExitStatus.inputOutput.rawValue)
        }
    }

    /// Ends the process, successfully, as soon as the reader of a pipe has gone, even if nothing is to be written.
    func watchForReaderGone() {
        guard whenClosed == .exits, Terminal.isPipe(descriptor) else { return }
        let watched = descriptor
        BackgroundThread.start {
            var poll = pollfd(fd: watched, events: 0, revents: 0)
            while Glibc.poll(&poll, 1, -1) < 0, errno == EINTR {}
            if poll.revents & Int16(POLLERR | POLLHUP) != 0 { exit(ExitStatus.done.rawValue) }
        }
    }
}
