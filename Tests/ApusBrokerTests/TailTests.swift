import ApusModel
import Testing

@testable import ApusBroker

@Suite("The tail")
struct TailTests {
    @Test("keeps at most tail-bytes, whatever is appended; the newest batch always stays")
    func boundsItsBytes() throws {
        var tail = Tail(bytesMax: 10_000, head: 0)
        for seq in Seq(1)...100 { tail.append(try batch(after: seq - 1, seqs: [seq], arenaBytes: 3_000)) }
        #expect(tail.bytes <= 10_000)
        #expect(tail.through == 100)
        #expect(tail.after > 90)
        tail.append(try batch(after: 100, seqs: [101], arenaBytes: 50_000))
        #expect(tail.after == 100, "all others are gone")
        #expect(tail.batch(behind: 100)?.messages.first?.seq == 101)
        tail.append(try batch(after: 101, seqs: [102]))
        #expect(tail.bytes <= 10_000, "the oversized one goes with the next")
    }

    @Test("covers a cursor only from the end of what it dropped")
    func coversFromItsBeginning() throws {
        var tail = Tail(bytesMax: 1, head: 7)
        #expect(tail.covers(7))
        #expect(!tail.covers(6))
        tail.append(try batch(after: 7, seqs: [9], through: 11))
        #expect(tail.covers(7))
        tail.append(try batch(after: 11, seqs: [12]))
        #expect(!tail.covers(10), "seqs 8 to 11 were dropped")
        #expect(tail.covers(11))
    }

    @Test("finds the batch that speaks for the seq behind a cursor, in holes too")
    func findsBatches() throws {
        var tail = Tail(bytesMax: 1 << 20, head: 0)
        tail.append(try batch(after: 0, seqs: [3, 4], through: 5))
        tail.append(try batch(after: 5, seqs: [10]))
        for (position, through) in [(0, 5), (3, 5), (4, 5), (5, 10), (7, 10), (9, 10)] as [(Seq, Seq)] {
            #expect(tail.batch(behind: position)?.through == through, "behind \(position)")
        }
        #expect(tail.batch(behind: 10) == nil)
    }

    @Test("forgets everything when it is reset")
    func resets() throws {
        var tail = Tail(bytesMax: 1 << 20, head: 0)
        tail.append(try batch(after: 0, seqs: [1], arenaBytes: 100))
        tail.reset(head: 9)
        #expect(tail.bytes == 0)
        #expect(tail.batch(behind: 0) == nil)
        #expect(!tail.covers(8))
    }
}
