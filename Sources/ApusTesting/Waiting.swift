internal import Foundation
internal import NIOConcurrencyHelpers
internal import NIOCore

/// A wait took longer than its bound: the test fails instead of hanging.
package struct WaitedTooLong: Error, CustomStringConvertible {
    package let description: String

    package init(_ what: String) { description = "waited too long for \(what)" }
}

/// The bound of every wait: far above what anything takes, so that a busy machine fails no test.
package let patienceSeconds = 30

/// A value that other threads change, and that a test waits for.
package final class Watched<Value: Sendable>: Sendable {
    private let changed = ConditionLock<Bool>(value: true)
    nonisolated(unsafe) private var current: Value

    package init(_ value: Value) { current = value }

    package var value: Value {
        changed.lock()
        defer { changed.unlock() }
        return current
    }

    @discardableResult
    package func change<Result>(_ body: (inout Value) -> Result) -> Result {
        changed.lock()
        defer { changed.unlock(withValue: true) }
        return body(&current)
    }

    /// Blocks until the value is as wished.
    package func wait(_ what: String, until isDone: (Value) -> Bool) throws {
        let deadline = NIODeadline.now() + .seconds(Int64(patienceSeconds))
        while true {
            let left = Double((deadline - .now()).nanoseconds) / 1e9
            guard left > 0, changed.lock(whenValue: true, timeoutSeconds: left) else { throw WaitedTooLong(what) }
            let done = isDone(current)
            changed.unlock(withValue: false)
            if done { return }
        }
    }
}

/// Runs `body` on a thread of its own.
package func onThread(_ body: @escaping @Sendable () -> Void) {
    Thread(block: body).start()
}
