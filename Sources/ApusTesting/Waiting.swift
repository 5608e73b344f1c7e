internal import Foundation

/// A wait took longer than its bound: the test fails instead of hanging.
package struct WaitedTooLong: Error, CustomStringConvertible {
    package let description: String

    package init(_ what: String) { description = "waited too long for \(what)" }
}

/// The bound of every wait: far above what anything takes, so that a busy machine fails no test.
package let patienceSeconds = 120

/// A value that threads change, and that tests wait for.
package final class Watched<Value: Sendable>: Sendable {
    /// Protects `current`.
    private let condition = NSCondition()
    nonisolated(unsafe) private var current: Value

    package init(_ value: Value) { current = value }

    package var value: Value { condition.withLock { current } }

    @discardableResult
    package func change<Result>(_ body: (inout Value) -> Result) -> Result {
        condition.withLock {
            defer { condition.broadcast() }
            return body(&current)
        }
    }

    /// Blocks until the value is as wished.
    package func wait(_ what: String, until isDone: (Value) -> Bool) throws {
        let deadline = Date(timeIntervalSinceNow: Double(patienceSeconds))
        condition.lock()
        defer { condition.unlock() }
        while !isDone(current) {
            guard condition.wait(until: deadline) else { throw WaitedTooLong(what) }
        }
    }
}

/// Runs `body` on a thread of its own.
package func onThread(_ body: @escaping @Sendable () -> Void) {
    Thread(block: body).start()
}
