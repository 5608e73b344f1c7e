internal import ApusModel
internal import NIOCore

/// How many connections each address has, and how fast it makes new ones: a value without a clock.
///
/// Bounded: an address with open connections costs an entry, so there are at most as many as connections; of those that
/// connected lately two generations are kept, each for a second, of at most ``recentMax`` addresses. Addresses beyond
/// share one measure, so that somebody with many of them cannot make the table grow.
struct PeerTable {
    enum Refusal: Hashable {
        case tooMany
        case tooFast
    }

    /// What an address may still connect: `tokens`, as of `time`.
    private struct Bucket {
        var tokens: Double
        var time: NIODeadline
    }

    static let recentMax = 32_768

    private let openMax: Int
    private let rate: Int
    private var open: [IPAddress: Int] = [:]
    private var recent: [IPAddress: Bucket] = [:]
    private var earlier: [IPAddress: Bucket] = [:]
    private var others: Bucket
    private var began: NIODeadline

    /// - Parameters:
    ///   - openMax: connections of one address.
    ///   - rate: new ones of one address a second, and as many at once.
    init(openMax: Int, rate: Int, now: NIODeadline) {
        self.openMax = openMax
        self.rate = rate
        others = Bucket(tokens: Double(rate), time: now)
        began = now
    }

    var addresses: Int { open.count }
    var recentAddresses: Int { recent.count + earlier.count }

    /// - Returns: nil where it may come in: then ``leave(_:)`` belongs to it.
    mutating func enter(_ address: IPAddress, now: NIODeadline) -> Refusal? {
        let holder = address.holder
        guard open[holder, default: 0] < openMax else { return .tooMany }
        guard spend(holder, now) else { return .tooFast }
        open[holder, default: 0] += 1
        return nil
    }

    mutating func leave(_ address: IPAddress) {
        let holder = address.holder
        guard let count = open[holder] else { return }
        open[holder] = count > 1 ? count - 1 : nil
    }

    private mutating func spend(_ holder: IPAddress, _ now: NIODeadline) -> Bool {
        // Who has not connected for a second has all its tokens back: it need not be remembered.
        if now - began >= .seconds(1) {
            earlier = now - began >= .seconds(2) ? [:] : recent
            recent = [:]
            began = now
        }
        let hasRoom = recent.count < PeerTable.recentMax
        if var bucket = recent[holder] {
            defer { recent[holder] = bucket }
            return PeerTable.spend(&bucket, rate, now)
        }
        if var bucket = earlier[holder] {
            defer { if hasRoom { recent[holder] = bucket } else { earlier[holder] = bucket } }
            return PeerTable.spend(&bucket, rate, now)
        }
        guard hasRoom else { return PeerTable.spend(&others, rate, now) }
        var bucket = Bucket(tokens: Double(rate), time: now)
        defer { recent[holder] = bucket }
        return PeerTable.spend(&bucket, rate, now)
    }

    private static func spend(_ bucket: inout Bucket, _ rate: Int, _ now: NIODeadline) -> Bool {
        let seconds = Double((now - bucket.time).nanoseconds) / 1e9
        bucket.tokens = min(Double(rate), bucket.tokens + max(0, seconds) * Double(rate))
        bucket.time = now
        guard bucket.tokens >= 1 else { return false }
        bucket.tokens -= 1
        return true
    }
}
