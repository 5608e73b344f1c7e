internal import Dispatch

/// A thread for a call that blocks for as long as the process lives.
enum BackgroundThread {
    static func start(_ body: @escaping @Sendable () -> Void) {
        DispatchQueue(label: "apus.background").async(execute: body)
    }
}
