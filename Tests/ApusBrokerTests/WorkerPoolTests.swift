import ApusTesting
import Testing

@testable import ApusBroker

@Suite("Threads that are lent", .timeLimit(.minutes(1)))
struct WorkerPoolTests {
    private let pool = WorkerPool()
    private let done = Watched<[String]>([])
    private let first = ConnectionID(hub: 0, number: 1)
    private let second = ConnectionID(hub: 1, number: 1)

    private func ask(_ name: String, for owner: ConnectionID) {
        pool.perform(for: owner) { [done] in done.change { $0.append(name) } }
    }

    /// Does everything that waits, and one job that is nobody's: so many in all.
    private func work(_ count: Int) throws {
        pool.perform { [done] in done.change { $0.append("nobody's") } }
        onThread { [pool] in pool.run() }
        try done.wait("\(count) jobs") { $0.count >= count }
        pool.close()
    }

    @Test("connections take turns, whatever each of them asks for")
    func takeTurns() throws {
        for number in 1...3 { ask("a\(number)", for: first) }
        for number in 1...2 { ask("b\(number)", for: second) }
        try work(6)
        #expect(done.value == ["a1", "b1", "nobody's", "a2", "b2", "a3"])
    }

    @Test("what a connection that is gone had asked for is not done, and nobody loses a turn by it")
    func drop() throws {
        for number in 1...3 { ask("a\(number)", for: first) }
        ask("b", for: second)
        pool.drop(first)
        // An id is never used again, but nothing depends on it.
        ask("again", for: first)
        pool.drop(ConnectionID(hub: 7, number: 7))
        try work(3)
        #expect(Set(done.value) == ["b", "again", "nobody's"])
    }

    @Test("dropping all that waits leaves nothing to do")
    func dropAll() throws {
        ask("a", for: first)
        pool.drop(first)
        try work(1)
        #expect(done.value == ["nobody's"])
    }
}
