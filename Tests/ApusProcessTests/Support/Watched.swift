import Dispatch
import NIOConcurrencyHelpers

/// Something that others change and a test waits for, with a bound.
final class Watched<State: Sendable>: Sendable {
    private struct Inside {
        var state: State
        /// Each is asked after every change, and returns true when it has what it waits for.
        var waiters: [Int: @Sendable (State) -> Bool] = [:]
        var nextWaiter = 0
    }

    private let inside: NIOLockedValueBox<Inside>

    init(_ state: State) { inside = NIOLockedValueBox(Inside(state: state)) }

    func read<T>(_ body: (State) throws -> T) rethrows -> T { try inside.withLockedValue { try body($0.state) } }

    @discardableResult
    func update<T>(_ body: (inout State) throws -> T) rethrows -> T {
        try inside.withLockedValue { inside in
            let result = try body(&inside.state)
            for (number, waiter) in inside.waiters where waiter(inside.state) { inside.waiters[number] = nil }
            return result
        }
    }

    /// - Returns: what `find` finds, as soon as it finds something.
    /// - Throws: ``TooLate`` after `seconds`.
    @discardableResult
    func wait<T: Sendable>(
        for what: String, seconds: Double = Patience.seconds, _ find: @escaping @Sendable (State) -> T?
    ) async throws -> T {
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<T, any Error>) in
            let number = register { state in
                guard let found = find(state) else { return false }
                continuation.resume(returning: found)
                return true
            }
            guard let number else { return }
            DispatchQueue.global().asyncAfter(deadline: .now() + seconds) { [self] in
                if forget(number) { continuation.resume(throwing: TooLate(what: what, seconds: seconds)) }
            }
        }
    }

    /// The same for a thread that may block.
    func block(for what: String, seconds: Double = Patience.seconds, until holds: @escaping @Sendable (State) -> Bool)
        throws
    {
        let signal = DispatchSemaphore(value: 0)
        let number = register { state in
            guard holds(state) else { return false }
            signal.signal()
            return true
        }
        guard let number, signal.wait(timeout: .now() + seconds) == .timedOut, forget(number) else { return }
        throw TooLate(what: what, seconds: seconds)
    }

    /// - Returns: nil if the waiter was content at once.
    private func register(_ waiter: @escaping @Sendable (State) -> Bool) -> Int? {
        inside.withLockedValue { inside in
            if waiter(inside.state) { return nil }
            inside.nextWaiter += 1
            inside.waiters[inside.nextWaiter] = waiter
            return inside.nextWaiter
        }
    }

    private func forget(_ number: Int) -> Bool {
        inside.withLockedValue { $0.waiters.removeValue(forKey: number) != nil }
    }
}

/// How long a test waits for what should come at once on an idle machine: long enough for a busy one.
enum Patience {
    static let seconds = 60.0
}

struct TooLate: Error, CustomStringConvertible {
    let what: String
    let seconds: Double

    var description: String { "waited \(seconds) s for \(what)" }
}

/// Says what was wrong, where there is nothing to compare.
struct Unexpected: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}
