internal import DequeModule

/// Logins that wait for a thread. The addresses they come from take turns, and where the queue is full the one that
/// fills it makes room: a flood from one address delays nobody but itself.
struct LoginQueue<Job> {
    enum Added {
        case queued
        /// There is no room, and nobody has more waiting than this address.
        case refused
        /// Another address's newest one had to go.
        case displaced(Job)
    }

    private var waiting: [String: Deque<Job>] = [:]
    /// Addresses that have something waiting, each once.
    private var turns: Deque<String> = []
    private(set) var count = 0
    private let countMax: Int

    init(countMax: Int) { self.countMax = countMax }

    mutating func add(_ job: Job, from address: String) -> Added {
        var result = Added.queued
        if count >= countMax {
            let own = waiting[address]?.count ?? 0
            guard let largest = waiting.max(by: { $0.value.count < $1.value.count }), largest.value.count > own + 1,
                let displaced = waiting[largest.key]?.popLast()
            else { return .refused }
            count -= 1
            result = .displaced(displaced)
        }
        if waiting[address, default: []].isEmpty { turns.append(address) }
        waiting[address, default: []].append(job)
        count += 1
        return result
    }

    /// The oldest one of the address whose turn it is.
    mutating func next() -> Job? {
        guard let address = turns.popFirst(), let job = waiting[address]?.popFirst() else { return nil }
        if waiting[address]?.isEmpty == true { waiting[address] = nil } else { turns.append(address) }
        count -= 1
        return job
    }
}

extension LoginQueue: Sendable where Job: Sendable {}
