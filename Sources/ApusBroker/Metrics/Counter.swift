internal import Atomics

/// A figure that only rises. Any thread adds to it, once a batch; relaxed, because nothing is decided by it.
package struct Counter: Sendable {
    private let cell = ManagedAtomic<Int>(0)

    package init() {}

    package func add(_ count: Int = 1) { cell.wrappingIncrement(by: count, ordering: .relaxed) }

    package var value: Int { cell.load(ordering: .relaxed) }
}

/// A counter to which only one thread adds, and which any thread may read.
///
/// Adding is a load and a store of a cell that no other thread writes: nothing is locked and no cache line moves, so it
/// may stand where bytes are read and written.
package struct OwnedCounter: Sendable {
    private let cell = ManagedAtomic<Int>(0)

    package init() {}

    /// Only to be called by the thread that owns the counter: two at once would lose counts.
    package func add(_ count: Int = 1) {
        cell.store(cell.load(ordering: .relaxed) &+ count, ordering: .relaxed)
    }

    package var value: Int { cell.load(ordering: .relaxed) }
}
