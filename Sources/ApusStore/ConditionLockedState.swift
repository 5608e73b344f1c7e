internal import Glibc

/// A value under a mutex, with waiting for it to change: swift-nio's `ConditionLock` waits for one value of an
/// integer, a gate waits for a condition on two.
///
/// `@unchecked Sendable`: `value` is only touched with `mutex` held.
final class ConditionLockedState<Value>: @unchecked Sendable {
    private var value: Value
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    init(_ value: Value) {
        self.value = value
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        // So that setting the wall clock neither shortens nor lengthens a wait.
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

    @discardableResult
    func change<T>(_ body: (inout Value) -> T) -> T {
        pthread_mutex_lock(mutex)
        defer {
            pthread_cond_broadcast(condition)
            pthread_mutex_unlock(mutex)
        }
        return body(&value)
    }

    func wait<T>(until isTrue: (Value) -> Bool, then body: (inout Value) -> T) -> T {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while !isTrue(value) { pthread_cond_wait(condition, mutex) }
        return body(&value)
    }

    /// - Returns: whether it came true in time.
    func wait(until isTrue: (Value) -> Bool, atMostMilliseconds limit: Int) -> Bool {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        let end = Clocks.monotonic() + Int64(limit) * 1_000
        var deadline = timespec(tv_sec: Int(end / 1_000_000), tv_nsec: Int(end % 1_000_000) * 1_000)
        while !isTrue(value) {
            if pthread_cond_timedwait(condition, mutex, &deadline) != 0 { return isTrue(value) }
        }
        return true
    }
}
