package import ApusModel
internal import NIOConcurrencyHelpers

/// Refusals by code. Added to once an event, from every event loop.
package final class Gauges: Sendable {
    private let refusals = NIOLockedValueBox<[ApusError.Code: Int]>([:])

    package init() {}

    package var errors: [ApusError.Code: Int] { refusals.withLockedValue { $0 } }

    func refused(_ code: ApusError.Code) { refusals.withLockedValue { $0[code, default: 0] += 1 } }
}
