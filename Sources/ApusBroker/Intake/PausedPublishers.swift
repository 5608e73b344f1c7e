// Between stations 1 and 4. Runs on one event loop. In: connections that publish; word that the intake has room again.
// Out: who is read, and who is not. Bounded by the connections of the loop.

internal import DequeModule

/// The publishers of one event loop: who waits for room in the intake, and who has to be stopped when it is full.
///
/// They are woken in portions, those first that have waited longest: as many as the free room takes if each brings a
/// whole read turn. Whether the next ones can go is looked at once the loop has read what the woken ones had for it. So
/// it does not matter whether they bring much, nothing, or are gone: as long as somebody waits, either a look is due, or
/// the intake has been asked to say when it has room, and it is not empty then.
///
/// Confined to its event loop; not Sendable.
package final class PausedPublishers {
    private let hub: Int
    private let intake: Intake
    let turns: TurnQueue

    /// They have something in the intake, or have been woken: they may be read.
    private var reading: [UInt64: any HubConnection] = [:]
    /// Those of them that have been woken and have brought nothing yet.
    private var woken: Set<UInt64> = []
    private var paused: [UInt64: any HubConnection] = [:]
    /// Numbers of the paused ones in the order in which they began to wait, and of some that are gone.
    private var order: Deque<UInt64> = []
    private var isLookDue = false
    /// The intake says when it has room.
    private var isAwaitingWord = false

    /// What one read turn may bring: NIO reads at most four times 64 KiB.
    package static let turnBytes = 256 << 10

    package init(hub: Int, intake: Intake, turns: TurnQueue) {
        self.hub = hub
        self.intake = intake
        self.turns = turns
    }

    package var count: Int { paused.count }

    /// It has something in the intake from now on.
    package func published(_ id: ConnectionID, _ connection: any HubConnection) {
        reading[id.number] = connection
        woken.remove(id.number)
    }

    /// It has nothing in the intake any more.
    package func settled(_ id: ConnectionID) {
        if !woken.contains(id.number) { reading[id.number] = nil }
    }

    /// The intake is full: `connection` has stopped reading, and so do all others that publish. Each one's
    /// `resumeReading()` is called when it is its turn.
    package func pause(_ id: ConnectionID, _ connection: any HubConnection) {
        reading[id.number] = nil
        woken.remove(id.number)
        if paused.updateValue(connection, forKey: id.number) == nil { order.append(id.number) }
        stopOthers()
        seekRoom()
    }

    private func stopOthers() {
        var late: [UInt64] = []
        var early: [UInt64] = []
        for (number, other) in reading.sorted(by: { $0.key < $1.key }) where other.stopReading() {
            paused[number] = other
            // It was its turn, and somebody else took the room.
            if woken.contains(number) { early.append(number) } else { late.append(number) }
        }
        order.prepend(contentsOf: early)
        order.append(contentsOf: late)
        reading.removeAll(keepingCapacity: true)
        woken.removeAll(keepingCapacity: true)
    }

    /// The connection is gone.
    func remove(_ id: ConnectionID) {
        reading[id.number] = nil
        paused[id.number] = nil
        woken.remove(id.number)
        if order.count > 2 * paused.count + 64 { order.removeAll { paused[$0] == nil } }
    }

    /// The intake says that it has room.
    func roomAnnounced() {
        isAwaitingWord = false
        wake()
    }

    private func seekRoom() {
        guard !paused.isEmpty, !isLookDue, !isAwaitingWord else { return }
        if intake.room(orTell: hub) > 0 {
            lookLater()
        } else {
            isAwaitingWord = true
        }
    }

    private func lookLater() {
        isLookDue = true
        turns.later { [weak self] in
            self?.isLookDue = false
            self?.forgetSilent()
            self?.wake()
        }
    }

    /// The loop has read what they had since they were woken: who brought nothing may be idle, and need not be stopped
    /// with the others.
    private func forgetSilent() {
        for number in woken { reading[number] = nil }
        woken.removeAll(keepingCapacity: true)
    }

    private func wake() {
        guard !paused.isEmpty, !isAwaitingWord else { return }
        let room = intake.room(orTell: hub)
        guard room > 0 else {
            isAwaitingWord = true
            return
        }
        var left = max(1, room / PausedPublishers.turnBytes)
        // One that is woken may fill the intake at once, with what it had read before.
        while left > 0, !isAwaitingWord, let number = order.popFirst() {
            guard let connection = paused.removeValue(forKey: number) else { continue }
            reading[number] = connection
            woken.insert(number)
            connection.resumeReading()
            left -= 1
        }
        if !paused.isEmpty, !isLookDue, !isAwaitingWord { lookLater() }
    }
}
