internal import NIOConcurrencyHelpers

/// A number that several tasks see.
final class Counter: Sendable {
    private let box = NIOLockedValueBox<UInt64>(0)

    var value: UInt64 { box.withLockedValue { $0 } }

    /// - Returns: the new value.
    @discardableResult
    func increment(by amount: UInt64 = 1) -> UInt64 {
        box.withLockedValue { value in
            value += amount
            return value
        }
    }
}
