internal import Glibc

/// A value under a mutex, with waiting for it to change. swift-nio's `ConditionLock` waits for one value of an integer,
/// and by the wall clock: an hour that it is set back lengthens a wait by an hour.
///
/// `@unchecked Sendable`: `value` is only touched with `mutex` held.
package final class ConditionLockedState<Value>: @unchecked Sendable {
    private var value: Value
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    package init(_ value: Value) {
        self.value = value
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(condition, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    /// For what nobody waits for.
    package func withLock<T>(_ body: (inout Value) -> T) -> T {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body(&value)
    }

    @discardableResult
    package func change<T>(_ body: (inout Value) -> T) -> T {
        // After the mutex is free: who is woken with it held goes to sleep again.
        defer { pthread_cond_broadcast(condition) }
        return withLock(body)
    }

    package func wait<T>(until isTrue: (Value) -> Bool, then body: (inout Value) -> T) -> T {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while !isTrue(value) { pthread_cond_wait(condition, mutex) }
        return body(&value)
    }

    /// - Returns: nil where it did not come true in time.
    package func wait<T>(
        until isTrue: (Value) -> Bool, atMostMicroseconds limit: Int64, then body: (inout Value) -> T
    ) -> T? {
        var deadline = timespec()
        clock_gettime(CLOCK_MONOTONIC, &deadline)
        let nanoseconds = deadline.tv_nsec + Int(limit % 1_000_000) * 1_000
        deadline.tv_sec += Int(limit / 1_000_000) + nanoseconds / 1_000_000_000
        deadline.tv_nsec = nanoseconds % 1_000_000_000
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while !isTrue(value) {
            if pthread_cond_timedwait(condition, mutex, &deadline) != 0, !isTrue(value) { return nil }
        }
        return body(&value)
    }
}
