import NIOCore
import Testing

@testable import ApusServer

@Suite("new-names-per-second")
struct NameRateTests {
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000)

    @Test("a second's worth may come at once; what is beyond waits for as long as it takes to fill")
    func waits() {
        var rate = NameRate(perSecond: 10, now: start)
        #expect(rate.spend(0, now: start) == nil)
        #expect(rate.spend(10, now: start) == nil)
        #expect(rate.spend(5, now: start) == .milliseconds(500))
        #expect(rate.spend(1, now: start + .milliseconds(500)) == .milliseconds(100))
    }

    @Test("it never fills beyond a second's worth")
    func isBounded() {
        var rate = NameRate(perSecond: 10, now: start)
        #expect(rate.spend(20, now: start + .seconds(3_600)) == .seconds(1))
    }
}
