import Foundation
import NIOConcurrencyHelpers

/// A thread whose error is the test's.
final class BackgroundThread: Sendable {
    private let result = NIOLockedValueBox<(any Error)?>(nil)
    private let done = DispatchSemaphore(value: 0)

    init(_ body: @escaping @Sendable () throws -> Void) {
        Thread.detachNewThread { [result, done] in
            do { try body() } catch { result.withLockedValue { $0 = error } }
            done.signal()
        }
    }

    func join() throws {
        done.wait()
        if let error = result.withLockedValue({ $0 }) { throw error }
    }
}
