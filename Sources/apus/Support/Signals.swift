internal import Glibc

/// Signals that ask for the end, handed to a thread. Through a pipe, so that none is lost from the first moment on: a
/// Dispatch source takes a while to be registered, and until then a signal is ignored or kills.
enum Signals {
    // Written once, before there is a handler that reads it.
    nonisolated(unsafe) private static var writeEnd: Int32 = -1

    /// Calls `body` with the number, on a thread of its own, once for each of these signals from now on. To be called
    /// once.
    ///
    /// - Returns: false where there are no descriptors left; then the signals end the process.
    @discardableResult
    static func listen(
        to numbers: [Int32] = [SIGINT, SIGTERM], _ body: @escaping @Sendable (Int32) -> Void
    ) -> Bool {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { return false }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        // A handler never blocks: who sends so many signals that the pipe is full is heard all the same.
        _ = fcntl(ends[1], F_SETFL, O_NONBLOCK)
        let readEnd = ends[0]
        writeEnd = ends[1]
        BackgroundThread.start {
            var byte: UInt8 = 0
            while true {
                let count = read(readEnd, &byte, 1)
                if count == 1 { body(Int32(byte)) } else if errno != EINTR { return }
            }
        }
        for number in numbers {
            var action = sigaction()
            action.__sigaction_handler.sa_handler = { number in
                let saved = errno
                var byte = UInt8(truncatingIfNeeded: number)
                _ = write(Signals.writeEnd, &byte, 1)
                errno = saved
            }
            action.sa_flags = Int32(SA_RESTART)
            sigaction(number, &action, nil)
        }
        return true
    }
}
