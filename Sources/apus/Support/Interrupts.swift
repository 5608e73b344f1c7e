internal import Dispatch
internal import Glibc
internal import NIOConcurrencyHelpers

/// Ctrl-C and SIGTERM: the first one asks the command to finish cleanly, the second one ends the process.
enum Interrupts {
    private struct State {
        var isRequested = false
        var cancel: (@Sendable () -> Void)?
        var isInstalled = false
        var wakePipe: [Int32] = [-1, -1]
    }

    /// How long the clean way may take.
    private static let graceSeconds = 5

    private static let state = NIOLockedValueBox(State())

    static var isRequested: Bool { state.withLockedValue { $0.isRequested } }

    /// Runs `work` as a task that an interrupt cancels.
    static func cancelling<T: Sendable>(_ work: @escaping @Sendable () async throws -> T) async throws -> T {
        install()
        let task = Task { try await work() }
        let isRequested = state.withLockedValue { state in
            state.cancel = { task.cancel() }
            return state.isRequested
        }
        // It came between the two.
        if isRequested { task.cancel() }
        return try await task.value
    }

    /// Blocks until there is something to read, or its end.
    ///
    /// - Returns: false when an interrupt came first.
    static func waitReadable(_ descriptor: Int32) -> Bool {
        let (isRequested, wake) = state.withLockedValue { ($0.isRequested, $0.wakePipe[0]) }
        if isRequested { return false }
        var polls = [
            pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
            pollfd(fd: wake, events: Int16(POLLIN), revents: 0),
        ]
        while poll(&polls, nfds_t(polls.count), -1) < 0, errno == EINTR {}
        return polls[1].revents == 0
    }

    private static func install() {
        let isFirst = state.withLockedValue { state in
            guard !state.isInstalled else { return false }
            state.isInstalled = true
            if pipe(&state.wakePipe) == 0 {
                for end in state.wakePipe { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
            }
            return true
        }
        if isFirst { Signals.listen { _ in received() } }
    }

    private static func received() {
        let (isFirst, cancel, wake) = state.withLockedValue { state in
            defer { state.isRequested = true }
            return (!state.isRequested, state.cancel, state.wakePipe[1])
        }
        guard isFirst else { _exit(ExitStatus.interrupted.rawValue) }
        _ = write(wake, "!", 1)
        cancel?()
        DispatchQueue.global().asyncAfter(deadline: .now() + .seconds(graceSeconds)) {
            _exit(ExitStatus.interrupted.rawValue)
        }
    }
}
