import ApusModel
import ApusWire
import NIOCore
import Testing

@testable import ApusClient

/// A session with a manual clock, and what it wants done.
struct Machine {
    var session: ClientSession
    var now = NIODeadline.uptimeNanoseconds(1_000_000_000)
    var encoder = PublishEncoder()
    /// Everything it did so far that was not looked at.
    var done: [ClientSession.Action] = []
    private var nextToken: UInt64 = 0

    init(publisher: String? = nil, _ change: (inout ClientSession.Settings) -> Void = { _ in }) {
        var hello = Hello()
        hello.publisher = publisher
        var settings = ClientSession.Settings(hello: hello)
        settings.backoffMilliseconds = 100...1_000
        change(&settings)
        session = ClientSession(settings: settings)
    }

    /// Looks at what was done since the last time.
    mutating func actions() -> [ClientSession.Action] {
        done += session.takeActions()
        defer { done = [] }
        return done
    }

    mutating func pass(_ time: TimeAmount) {
        now = now + time
        session.timeHasCome(now)
    }

    /// Steps from deadline to deadline until `time` has passed.
    mutating func live(_ time: TimeAmount) {
        let end = now + time
        while let next = session.nextDeadline, next <= end {
            now = max(now, next)
            session.timeHasCome(now)
        }
        now = end
    }

    mutating func open(lastID: UInt64? = nil, log: String = "log-a", keepAlive: UInt64 = 0) {
        session.start(now)
        session.dialed(now)
        welcome(lastID: lastID, log: log, keepAlive: keepAlive)
        _ = actions()
    }

    mutating func welcome(lastID: UInt64? = nil, log: String = "log-a", keepAlive: UInt64 = 0) {
        receive(
            .welcome(Welcome(clientID: "c", log: log, lastID: lastID, keepAlive: keepAlive, limits: [:])))
    }

    /// Loses the connection, waits for the pause to end, dials again.
    mutating func reconnect(lastID: UInt64? = nil, log: String = "log-a") {
        session.connectionLost(ApusError(.connectionLost, "reset"), now)
        redial(lastID: lastID, log: log)
    }

    mutating func redial(lastID: UInt64? = nil, log: String = "log-a") {
        pass(.seconds(20))
        session.dialed(now)
        welcome(lastID: lastID, log: log)
    }

    mutating func receive(_ frame: Frame) { session.received(frame, now) }

    mutating func published(through id: UInt64, count: UInt64 = 1, seq: Seq) {
        receive(.published(PublishedRun(lastID: id, count: count, lastSeq: seq, level: .synced, isDuplicate: false)))
    }

    /// - Returns: the token.
    @discardableResult
    mutating func publish(
        _ texts: [String], level: AckLevel = .synced, _ handover: PublishWindow.Handover = .awaited
    ) throws -> UInt64 {
        nextToken += 1
        let batch = try PreparedBatch(texts.map { OutgoingMessage($0, level: level) }, limits: [:])
        session.publish(batch, token: nextToken, handover, now)
        return nextToken
    }

    /// Writes what may be written, and reads it as the broker would.
    mutating func written(bytes: Int = .max) throws -> [UInt64] {
        var out = ByteBuffer()
        session.writePublishes(into: &out, until: bytes, encoder: &encoder, now)
        var reader = FrameReader(bounds: .init(headerBytesMax: 65_535, contentBytesMax: 1 << 24))
        reader.append(out)
        var ids: [UInt64] = []
        while let frame = try reader.next() {
            guard case .publish(let publish) = frame else { throw Unexpected() }
            ids.append(publish.id)
        }
        return ids
    }

    mutating func subscribe(_ number: UInt32, from: StartPosition = .now, next: Seq? = nil) throws {
        session.subscribe(number, filters: [try TopicFilter("a")], from: from, now)
        if let next { receive(.subscribed(subscription: number, next: next)) }
    }

    mutating func messages(_ seqs: ClosedRange<Seq>, bytes: Int = 100, subscription: UInt32 = 1) {
        session.receivedMessages(
            subscription, count: seqs.count, bytes: seqs.count * bytes, lastSeq: seqs.upperBound, now)
    }
}

extension [ClientSession.Action] {
    var frames: [Frame] { compactMap { if case .write(let frame) = $0 { frame } else { nil } } }

    var outcomes: [UInt64: Result<[Receipt], ApusError>] {
        var outcomes: [UInt64: Result<[Receipt], ApusError>] = [:]
        for case .published(let outcome) in self { outcomes[outcome.token] = outcome.result }
        return outcomes
    }

    /// Message by message: its seq, or the code of its failure, with a question mark where its outcome is unknown.
    func each(_ token: UInt64, _ count: Int) -> [String] {
        for case .published(let outcome) in self where outcome.token == token {
            return outcome.messages.results(count: count).map { result in
                switch result {
                case .success(let receipt): "\(receipt.seq)"
                case .failure(let error): error.code.rawValue + (error.isOutcomeUnknown ? "?" : "")
                }
            }
        }
        return []
    }

    /// Queries that have ended, with their errors.
    var endedQueries: [UInt32: ApusError?] {
        var ended: [UInt32: ApusError?] = [:]
        for case .endQuery(let number, let error) in self { ended[number] = .some(error) }
        return ended
    }

    var subscribes: [Subscribe] {
        frames.compactMap { if case .subscribe(let subscribe) = $0 { subscribe } else { nil } }
    }

    var credits: [UInt64] {
        frames.compactMap { if case .credit(let credit) = $0 { credit.credit } else { nil } }
    }

    var pings: Int {
        frames.count { if case .ping = $0 { true } else { false } }
    }

    var dials: Int {
        count { if case .dial = $0 { true } else { false } }
    }

    var isDisconnected: Bool {
        contains { if case .disconnect = $0 { true } else { false } }
    }

    var states: [ApusClient.State] {
        compactMap { if case .changeState(let state) = $0 { state } else { nil } }
    }

    /// Subscriptions that have ended, with their errors' codes.
    var ended: [UInt32: ApusError.Code?] {
        var ended: [UInt32: ApusError.Code?] = [:]
        for case .endSubscription(let number, let error) in self { ended[number] = .some(error?.code) }
        return ended
    }

    var saysGoodbye: Bool {
        frames.contains { if case .goodbye = $0 { true } else { false } }
    }
}

extension Result where Failure == ApusError {
    var code: ApusError.Code? {
        if case .failure(let error) = self { error.code } else { nil }
    }

    var value: Success? { try? get() }
}
