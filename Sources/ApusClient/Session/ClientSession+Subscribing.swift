internal import ApusModel
internal import ApusWire
internal import NIOCore

// Subscriptions and queries, over reconnects.
extension ClientSession {
    mutating func subscribe(_ number: UInt32, filters: [TopicFilter], from: StartPosition, _ now: NIODeadline) {
        if let error = refusal() {
            actions.append(.endSubscription(subscription: number, error))
            return
        }
        subscriptions[number] = SubscriptionState(
            filters: filters, from: from, credit: CreditWindow(bytesMax: settings.receiveBytesMax))
        if case .open = phase { resume(number, isOtherLog: false) }
        updateReading(now)
    }

    func refusal() -> ApusError? {
        if case .closed(let error) = phase { return ClientSession.closedError(error) }
        return closeDeadline == nil ? nil : ClientSession.closedError(nil)
    }

    /// Sends the `subscribe`: the first one, or after a reconnect one that goes on where the application is.
    mutating func resume(_ number: UInt32, isOtherLog: Bool) {
        guard var state = subscriptions[number] else { return }
        var from = state.from
        if state.isEstablished {
            guard !isOtherLog else {
                return endSubscription(
                    number,
                    ApusError(
                        .logChanged, "the broker has another log than before: the subscription cannot go on in it",
                        hint: "The log was replaced, restored or forked. Subscribe again from where it makes sense."))
            }
            if case .lastPerTopic = from, !state.hasCaughtUp {
                // Asked for again from the beginning: a seq would bring all messages after it, not the last of each
                // topic. What the application has had is left out.
                actions.append(.skip(subscription: number, through: state.position ?? 0))
            } else if let position = state.position {
                from = .seq(position < Seq.last ? position + 1 : Seq.last)
            }
        }
        let credit = state.credit.start()
        subscriptions[number] = state
        actions.append(
            .write(
                .subscribe(Subscribe(subscription: number, filters: state.filters, from: from, credit: credit))))
    }

    mutating func subscribed(_ number: UInt32, next: Seq) {
        guard var state = subscriptions[number] else { return }
        let isFirst = !state.isEstablished
        state.isEstablished = true
        // Until something comes, the start position is not asked for again: "now" would be another now.
        if state.position == nil, next > 0, state.from != .lastPerTopic { state.position = next - 1 }
        subscriptions[number] = state
        if isFirst { actions.append(.subscribed(subscription: number, next: next)) }
    }

    mutating func advance(_ number: UInt32, to seq: Seq) {
        guard let position = subscriptions[number]?.position else {
            subscriptions[number]?.position = seq
            return
        }
        subscriptions[number]?.position = max(position, seq)
    }

    /// A read turn's messages of one subscription.
    mutating func receivedMessages(
        _ number: UInt32, count: Int, bytes: Int, lastSeq: Seq, _ now: NIODeadline
    ) {
        keepAlive.heard(now)
        guard subscriptions[number] != nil else { return }
        advance(number, to: lastSeq)
        if subscriptions[number]?.credit.received(count: count, bytes: bytes) == true {
            actions.append(.reportEvery(.subscription(number), subscriptions[number]?.credit.reportEvery ?? 1))
        }
        credited(.subscription(number))
        updateReading(now)
    }

    /// A read turn's rows of one query.
    mutating func receivedRows(_ number: UInt32, count: Int, bytes: Int, _ now: NIODeadline) {
        keepAlive.heard(now)
        guard queries[number] != nil else { return }
        if queries[number]?.credit.received(count: count, bytes: bytes) == true {
            actions.append(.reportEvery(.query(number), queries[number]?.credit.reportEvery ?? 1))
        }
        credited(.query(number))
        updateReading(now)
    }

    /// The application has taken what was buffered for it.
    mutating func consumed(_ target: Credit.Target, count: Int, bytes: Int, _ now: NIODeadline) {
        switch target {
        case .subscription(let number): subscriptions[number]?.credit.consumed(count: count, bytes: bytes)
        case .query(let number): queries[number]?.credit.consumed(count: count, bytes: bytes)
        }
        credited(target)
        updateReading(now)
    }

    mutating func credited(_ target: Credit.Target) {
        let credit: UInt64?
        let isOver: Bool
        switch target {
        case .subscription(let number):
            isOver = subscriptions[number]?.credit.isOver ?? false
            // One that is about to be resumed gets its credit with the `subscribe`.
            credit = isConversing ? subscriptions[number]?.credit.replenish() : nil
        case .query(let number):
            isOver = queries[number]?.credit.isOver ?? false
            credit = isConversing && queries[number]?.isSent == true ? queries[number]?.credit.replenish() : nil
        }
        if let credit { actions.append(.write(.credit(Credit(target: target, credit: credit)))) }
        if isOver {
            overloaded.insert(target)
        } else if !overloaded.isEmpty {
            overloaded.remove(target)
        }
    }

    /// The socket is not read while too much is buffered. But an application may await an answer before it consumes
    /// any more, and the answer may stand behind messages: while one is owed, reading goes on. That ends too, because
    /// no credit is given for what is not consumed.
    mutating func updateReading(_ now: NIODeadline) {
        if isReadingHeld {
            guard overloaded.isEmpty || isAwaitingAnswer else { return }
            resumeReading()
            keepAlive.resumed(now)
        } else if !overloaded.isEmpty, isConversing, !isAwaitingAnswer {
            isReadingHeld = true
            keepAlive.hold()
            actions.append(.holdReading)
        }
    }

    mutating func resumeReading() {
        guard isReadingHeld else { return }
        isReadingHeld = false
        actions.append(.resumeReading)
    }

    var isAwaitingAnswer: Bool {
        window.inFlight > 0 || closeDeadline != nil || subscriptions.values.contains { !$0.isEstablished }
            || queries.values.contains { !$0.credit.isOver }
    }

    /// The application does not want it any more.
    mutating func unsubscribe(_ number: UInt32, _ now: NIODeadline) {
        guard let state = subscriptions.removeValue(forKey: number) else { return }
        if isConversing, !isLeaving { actions.append(.write(.unsubscribe(subscription: number))) }
        let error = state.isEstablished ? nil : ApusError(.cancelled, "the subscribe was cancelled")
        actions.append(.endSubscription(subscription: number, error))
        overloaded.remove(.subscription(number))
        updateReading(now)
    }

    var isLeaving: Bool {
        if case .leaving = phase { true } else { false }
    }

    mutating func endSubscription(_ number: UInt32, _ error: ApusError?) {
        subscriptions[number] = nil
        overloaded.remove(.subscription(number))
        actions.append(.endSubscription(subscription: number, error))
    }

    // MARK: Queries

    mutating func query(_ query: Query, _ now: NIODeadline) {
        if let error = refusal() {
            actions.append(.endQuery(query: query.query, error))
            return
        }
        queries[query.query] = QueryState(query: query, credit: CreditWindow(bytesMax: settings.receiveBytesMax))
        if case .open = phase { sendQuery(query.query) }
        updateReading(now)
    }

    mutating func sendQuery(_ number: UInt32) {
        guard var state = queries[number], !state.isSent else { return }
        state.isSent = true
        state.query.credit = state.credit.start()
        queries[number] = state
        actions.append(.write(.query(state.query)))
    }

    mutating func cancelQuery(_ number: UInt32, _ now: NIODeadline) {
        guard let state = queries[number] else { return }
        if isConversing, !isLeaving, state.isSent {
            actions.append(.write(.end(QueryEnd(query: number, reason: "cancelled"))))
        }
        endQuery(number, nil)
        settle(now)
    }

    /// For whoever still reads the rows of a query when the client closes.
    static func cutOff(_ query: Query) -> ApusError {
        let filters = query.filters.map(\.text).joined(separator: ", ")
        let name = "the query of \(query.select.rawValue)" + (filters.isEmpty ? "" : " (\(filters))")
        return ApusError(
            .closed, "the client was closed before \(name) had ended: rows are missing",
            hint: "Read a query to its end before the client is closed, or give closing more time.")
    }

    mutating func endQuery(_ number: UInt32, _ error: ApusError?) {
        guard queries.removeValue(forKey: number) != nil else { return }
        overloaded.remove(.query(number))
        actions.append(.endQuery(query: number, error))
    }
}
