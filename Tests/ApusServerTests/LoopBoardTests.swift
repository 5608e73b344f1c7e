import ApusBroker
import ApusModel
import ApusTesting
import Atomics
import NIOCore
import NIOEmbedded
import Testing

@testable import ApusServer

/// Counts how often it is looked at.
private final class Looked: HubConnection {
    var looks = 0

    func answered(_ answer: ItemAnswer, bytes: Int) {}
    func stopReading() -> Bool { false }
    func resumeReading() {}
    func flush() {}
    func look(_ body: (Subscription) -> Void) -> Int {
        looks += 1
        return 7
    }
}

@Suite("Figures of the event loops")
struct LoopBoardTests {
    @Test("are gathered once at a time: who asks meanwhile shares the next look, which is from after the question")
    func sharesLooks() {
        let door = EmbeddedDoor()
        let connection = Looked()
        _ = door.hub.add(connection)
        let board = LoopBoard()
        board.add(door.loop, NIOLoopBound(door.hub, eventLoop: door.loop))
        let answered = Watched(0)
        board.gather { answered.change { $0 += 1 } }
        for _ in 0..<100 { board.gather { answered.change { $0 += 1 } } }
        #expect(answered.value == 0)
        door.loop.run()
        #expect(answered.value == 101)
        #expect(connection.looks == 2)
        #expect(board.latest.receiveBytes == 7)
        board.gather { answered.change { $0 += 1 } }
        door.loop.run()
        #expect(answered.value == 102 && connection.looks == 3)
        board.close()
        board.gather { answered.change { $0 += 1 } }
        #expect(answered.value == 103, "without loops there is nothing to wait for")
    }
}
