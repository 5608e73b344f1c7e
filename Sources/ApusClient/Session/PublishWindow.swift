// Where publishes wait for their acknowledgement. A value without I/O, part of ``ClientSession``.

internal import ApusModel
internal import ApusWire
internal import DequeModule
internal import NIOCore

/// The publishes that are not answered, indexed by id, and behind them those that wait for room.
///
/// Ids are given out one after another when a batch is admitted, so an id is an index into `slots`, and what belongs
/// to an answer is found without searching. A batch is one call of `publish` or `enqueue`; its receipts are collected
/// in it until the last of its messages is answered.
struct PublishWindow {
    /// What has become of a call.
    struct Outcome {
        var token: UInt64
        var messages: PublishOutcome
        /// Nobody asks for it by itself: an `enqueue`, whose caller has gone on already.
        var isDetached = false

        var result: Result<[Receipt], ApusError> {
            messages.error.map { .failure($0) } ?? .success(messages.receipts)
        }
    }

    /// What the caller of a batch waits for.
    enum Handover: Sendable {
        /// The answers to all of it.
        case awaited
        /// Room; then the answers are collected for whoever asks later.
        case followed
        /// Room; of the answers only the first failure is kept.
        case enqueued
    }

    private enum Status: UInt8 {
        case queued
        case written
        case answered
    }

    private struct Slot {
        /// Counted from the first batch ever.
        var batch: Int
        var index: Int32
        var status: Status
    }

    private struct Batch {
        var token: UInt64
        var messages: [OutgoingMessage]
        var headers: [[UInt8]]
        var bytes: Int
        var deadline: NIODeadline?
        var handover: Handover
        var outcome = PublishOutcome()
        var firstID: UInt64 = 0
        var remaining: Int
        var isDone = false

        func cost(_ index: Int) -> Int {
            PreparedBatch.cost(messages[index], headers: headers.isEmpty ? 0 : headers[index].count)
        }
    }

    private var slots: Deque<Slot> = []
    /// The id of the first slot.
    private(set) var base: UInt64 = 1
    private var batches: Deque<Batch> = []
    private var batchBase = 0
    /// Batches before it have slots, those from it on wait for room.
    private var admittedEnd = 0
    private var byToken: [UInt64: Int] = [:]
    private var deadlines: Deque<(deadline: NIODeadline, token: UInt64)> = []
    /// The next id to write to the socket.
    private(set) var writeCursor: UInt64 = 1
    /// The largest id that was ever written.
    private(set) var writtenThrough: UInt64 = 0
    private(set) var bytes = 0
    /// Written and not answered.
    private(set) var inFlight = 0

    let bytesMax: Int
    private(set) var outcomes: [Outcome] = []
    /// Batches that have got room and whose callers go on.
    private(set) var admitted: [UInt64] = []

    init(bytesMax: Int) { self.bytesMax = bytesMax }

    /// The id that the next admitted message gets.
    var nextID: UInt64 { base + UInt64(slots.count) }
    /// Whether a message waits to be written.
    var hasQueued: Bool { writeCursor < nextID }
    /// Whether the outcome of a message is unknown: it was written, now or on an earlier connection, and not answered.
    var hasUnanswered: Bool { writtenThrough >= base }
    /// Whether nothing is admitted and unanswered.
    var isEmpty: Bool { slots.isEmpty }
    var isWaitingForRoom: Bool { admittedEnd < batchBase + batches.count }
    var nextDeadline: NIODeadline? { deadlines.first?.deadline }

    /// What has ended since the last call, in order.
    mutating func takeOutcomes() -> [Outcome] {
        defer { outcomes.removeAll() }
        return outcomes
    }

    mutating func takeAdmitted() -> [UInt64] {
        defer { admitted.removeAll() }
        return admitted
    }

    /// A named publisher goes on behind the last id that is recorded under its name. Only before the first publish.
    mutating func begin(after id: UInt64) {
        guard slots.isEmpty, writtenThrough == 0, id < UInt64(Int64.max) else { return }
        base = id + 1
        writeCursor = base
        writtenThrough = id
    }

    // MARK: Handing over

    mutating func append(_ prepared: PreparedBatch, token: UInt64, _ handover: Handover, deadline: NIODeadline?) {
        let batch = Batch(
            token: token, messages: prepared.messages, headers: prepared.headers, bytes: prepared.bytes,
            deadline: deadline, handover: handover, remaining: prepared.messages.count)
        byToken[token] = batchBase + batches.count
        batches.append(batch)
        if let deadline { deadlines.append((deadline, token)) }
        admit()
    }

    /// Gives ids to as many waiting batches as there is room for, in order. One that is larger than all the room
    /// goes when nothing else is under way.
    private mutating func admit() {
        while admittedEnd < batchBase + batches.count {
            let position = admittedEnd - batchBase
            if !batches[position].isDone {
                guard bytes == 0 || bytes + batches[position].bytes <= bytesMax else { return }
                open(position)
            }
            admittedEnd += 1
        }
        dropDone()
    }

    private mutating func open(_ position: Int) {
        bytes += batches[position].bytes
        batches[position].firstID = nextID
        let count = batches[position].messages.count
        let absolute = batchBase + position
        let handover = batches[position].handover
        if handover != .awaited { admitted.append(batches[position].token) }
        if handover != .enqueued {
            batches[position].outcome.receipts = Array(repeating: Receipt(seq: 0, level: .none), count: count)
        }
        for index in 0..<count { slots.append(Slot(batch: absolute, index: Int32(index), status: .queued)) }
        if count == 0 { finish(position) }
    }

    // MARK: Writing

    /// Writes queued publishes until `out` has so many bytes or nothing is left.
    mutating func write(into out: inout ByteBuffer, until bytesWanted: Int, encoder: inout PublishEncoder) {
        while writeCursor < nextID, out.readableBytes < bytesWanted {
            let id = writeCursor
            writeCursor += 1
            let position = Int(id - base)
            let slot = slots[position]
            guard slot.status == .queued else { continue }
            let batch = slot.batch - batchBase
            let index = Int(slot.index)
            let headers = batches[batch].headers.isEmpty ? [] : batches[batch].headers[index]
            encoder.write(batches[batch].messages[index], headers: headers, id: id, into: &out)
            writtenThrough = max(writtenThrough, id)
            slots[position].status = .written
            inFlight += 1
            if batches[batch].messages[index].level == .none {
                // Nobody answers it: on its way is all that can be said.
                answer(position, .success(Receipt(seq: 0, level: .none)))
            }
        }
        trim()
    }

    // MARK: Answers

    /// Answers everything up to `published.lastID`; the last `count` of it have consecutive seqs.
    ///
    /// - Returns: false where the broker answers what was never sent.
    mutating func published(_ published: PublishedRun) -> Bool {
        guard let lastID = published.lastID, lastID <= writtenThrough else { return false }
        guard lastID >= base else { return true }
        var offset: UInt64 = 0
        var position = Int(lastID - base)
        while position >= 0 {
            switch slots[position].status {
            case .written:
                let isInRun = offset < published.count
                let seq =
                    isInRun && published.lastSeq > offset && !published.isDuplicate ? published.lastSeq - offset : 0
                let receipt = Receipt(
                    seq: seq, level: published.level, isDuplicate: published.isDuplicate && isInRun)
                answer(position, .success(receipt))
                offset += 1
            case .answered:
                // One of level `none` has a seq too. One that was refused or withdrawn has none.
                if isUnanswerable(position) { offset += 1 }
            case .queued: break
            }
            position -= 1
        }
        trim()
        return true
    }

    /// Refuses the `count` publishes up to `id` that are in flight.
    ///
    /// - Returns: false where the broker answers what was never sent.
    mutating func refused(through id: UInt64, count: UInt64, _ error: ApusError) -> Bool {
        guard id <= writtenThrough else { return false }
        guard id >= base else { return true }
        var left = max(1, count)
        var position = Int(id - base)
        while position >= 0, left > 0 {
            if slots[position].status == .written {
                answer(position, .failure(error))
                left -= 1
            }
            position -= 1
        }
        trim()
        return true
    }

    private func isUnanswerable(_ position: Int) -> Bool {
        let slot = slots[position]
        let batch = batches[slot.batch - batchBase]
        return !batch.messages.isEmpty && batch.messages[Int(slot.index)].level == .none
    }

    private mutating func answer(_ position: Int, _ result: Result<Receipt, ApusError>) {
        let slot = slots[position]
        if slot.status == .written { inFlight -= 1 }
        slots[position].status = .answered
        let batch = slot.batch - batchBase
        let index = Int(slot.index)
        bytes -= batches[batch].cost(index)
        switch result {
        case .success(let receipt):
            if !batches[batch].outcome.receipts.isEmpty { batches[batch].outcome.receipts[index] = receipt }
        case .failure(let error):
            if batches[batch].handover != .enqueued || batches[batch].outcome.failures.isEmpty {
                batches[batch].outcome.failures[index] = error
            }
        }
        batches[batch].remaining -= 1
        if batches[batch].remaining == 0 { finish(batch) }
    }

    private mutating func finish(_ position: Int) {
        guard !batches[position].isDone else { return }
        batches[position].isDone = true
        let batch = batches[position]
        if byToken[batch.token] == batchBase + position {
            byToken[batch.token] = nil
            // The caller of `enqueue` waits for room only.
            let isDetached = batch.handover == .enqueued && batchBase + position < admittedEnd
            outcomes.append(Outcome(token: batch.token, messages: batch.outcome, isDetached: isDetached))
        }
        batches[position].outcome = PublishOutcome()
    }

    /// Lets go of what is answered at the front, and admits what has room now.
    private mutating func trim() {
        while let first = slots.first, first.status == .answered {
            slots.removeFirst()
            base += 1
        }
        if writeCursor < base { writeCursor = base }
        admit()
    }

    private mutating func dropDone() {
        let firstUsed = slots.first?.batch ?? admittedEnd
        while batchBase < firstUsed, let first = batches.first, first.isDone {
            batches.removeFirst()
            batchBase += 1
        }
        while let first = deadlines.first, byToken[first.token] == nil { deadlines.removeFirst() }
    }

    // MARK: Giving up

    /// The caller does not wait any longer. What was not written is taken back; what was written stays until it is
    /// answered, and nobody is told.
    ///
    /// - Returns: what has become of the call until now; nil where it has ended already: one that waits for room only
    ///   ends with being admitted, and a cancellation that crosses it takes nothing back.
    mutating func withdraw(_ token: UInt64, _ error: ApusError) -> Outcome? {
        guard let absolute = byToken[token] else { return nil }
        let position = absolute - batchBase
        let isAdmitted = absolute < admittedEnd
        if batches[position].handover != .awaited, isAdmitted { return nil }
        byToken[token] = nil
        var messages = batches[position].outcome
        messages.callError = error
        if isAdmitted {
            withdrawAdmitted(position, &messages, error)
        } else {
            messages.callError = error.forMessage(wasSent: false)
            batches[position].isDone = true
            batches[position].messages = []
            admit()
        }
        return Outcome(token: token, messages: messages)
    }

    private mutating func withdrawAdmitted(_ position: Int, _ messages: inout PublishOutcome, _ error: ApusError) {
        let firstID = batches[position].firstID
        let end = firstID + UInt64(batches[position].messages.count)
        for id in stride(from: max(firstID, base), to: end, by: 1) {
            let slot = Int(id - base)
            guard slots[slot].status != .answered else { continue }
            // A named publisher's message may wait to be sent for the second time.
            messages.failures[Int(id - firstID)] = error.forMessage(wasSent: id <= writtenThrough)
            if slots[slot].status == .queued { answer(slot, .success(Receipt(seq: 0, level: .none))) }
        }
        trim()
    }

    /// Calls whose time is up, and whether they had room.
    mutating func takeExpired(_ now: NIODeadline) -> [(token: UInt64, isAdmitted: Bool)] {
        var expired: [(UInt64, Bool)] = []
        while let first = deadlines.first, first.deadline <= now {
            deadlines.removeFirst()
            if let absolute = byToken[first.token] { expired.append((first.token, absolute < admittedEnd)) }
        }
        return expired
    }

    /// The connection is lost. Of an unnamed publisher what is in flight fails, because sending it again could record
    /// it twice; of a named one it is sent again, with its ids.
    mutating func connectionLost(resends: Bool, _ error: ApusError) {
        guard resends else {
            fail(error) { $0 == .written }
            return
        }
        for position in slots.indices where slots[position].status == .written {
            slots[position].status = .queued
        }
        inFlight = 0
        writeCursor = base
    }

    /// After a reconnect: everything up to `id` has been recorded under the publisher's name.
    mutating func resolveDuplicates(through id: UInt64) {
        guard id >= base else { return }
        let end = min(Int(clamping: id - base), slots.count - 1)
        guard end >= 0 else { return }
        for position in 0...end where slots[position].status != .answered {
            answer(position, .success(Receipt(seq: 0, level: level(position), isDuplicate: true)))
        }
        trim()
    }

    private func level(_ position: Int) -> AckLevel {
        let slot = slots[position]
        return batches[slot.batch - batchBase].messages[Int(slot.index)].level
    }

    /// Everything that is not answered, also what waits for room, ends with this error.
    ///
    /// - Returns: the messages that were admitted and not answered, in order.
    mutating func failAll(_ error: ApusError) -> [OutgoingMessage] {
        var unanswered: [OutgoingMessage] = []
        for slot in slots where slot.status != .answered {
            unanswered.append(batches[slot.batch - batchBase].messages[Int(slot.index)])
        }
        while isWaitingForRoom {
            let position = admittedEnd - batchBase
            if !batches[position].isDone {
                batches[position].outcome.callError = error.forMessage(wasSent: false)
                finish(position)
            }
            admittedEnd += 1
        }
        fail(error) { $0 != .answered }
        return unanswered
    }

    private mutating func fail(_ error: ApusError, where isMeant: (Status) -> Bool) {
        for position in slots.indices where isMeant(slots[position].status) {
            answer(position, .failure(error.forMessage(wasSent: base + UInt64(position) <= writtenThrough)))
        }
        trim()
    }
}
