// Station 7, cursors, on the connection's side. Runs on its event loop. In: chunks, pages of rows. Out: writes; the hub
// says when the turn ends. Bounded by the outbox: a connection that is not writable stops its cursors.

package import ApusBroker
package import ApusModel
internal import ApusWire
internal import NIOCore

extension NativeHandler: SubscriptionOutlet {
    func start(_ subscribe: Subscribe) {
        guard let filters = guest.filters(for: subscribe) else {
            session.ended(subscription: subscribe.subscription)
            return reply(.error(ErrorReply(Guest.mayNotRead, subscription: subscribe.subscription)))
        }
        let subscription = shared.hub.subscribe(
            number: subscribe.subscription, form: way == .compact ? 1 : 0, filters: filters,
            from: subscribe.from, credit: subscribe.credit, outlet: self)
        subscriptions[subscribe.subscription] = subscription
        shared.hub.start(subscription)
    }

    func add(_ credit: Credit) {
        switch credit.target {
        case .subscription(let number):
            if let subscription = subscriptions[number] { shared.hub.add(credit: credit.credit, to: subscription) }
        case .query(let number): queries[number]?.add(credit: credit.credit)
        }
    }

    package func encode(_ request: ChunkRequest) -> Chunk { MessageEncoder.chunk(request, way: way ?? .json) }

    package func write(_ chunk: Chunk) {
        shared.counters.messagesOut.add(chunk.count)
        if chunk.bytes.readableBytes > 0 { write(chunk.bytes) }
    }

    package func subscribed(_ subscription: Subscription, next: Seq) {
        reply(.subscribed(subscription: subscription.number, next: next))
    }

    package func caughtUp(_ subscription: Subscription, seq: Seq) {
        reply(.caughtUp(subscription: subscription.number, seq: seq))
    }

    package func gap(_ subscription: Subscription, _ gap: Gap) {
        shared.gauges.dropped(gap.reason, Int(clamping: gap.count))
        reply(
            .gap(
                GapNotice(
                    subscription: subscription.number, from: gap.from, to: gap.through, count: gap.count,
                    reason: gap.reason.rawValue)))
    }

    package func failed(_ subscription: Subscription, _ error: ApusError) {
        subscriptions[subscription.number] = nil
        guest.subscriptions[subscription.number] = nil
        session.ended(subscription: subscription.number)
        reply(.error(ErrorReply(error, subscription: subscription.number)))
    }
}

extension NativeHandler: QueryOutlet {
    func start(_ query: Query) {
        guard let selection = guest.selection(for: query) else {
            session.ended(query: query.query)
            let error = query.select == .status ? Guest.mayNotAdministrate : Guest.mayNotRead
            return reply(.error(ErrorReply(error, query: query.query)))
        }
        count(query.select)
        let cursor = QueryCursor(
            number: query.query, selection: selection, limit: query.limit, credit: query.credit, log: shared.queries,
            workers: shared.queryWorkers, loop: shared.loop, limits: shared.limits, outlet: self)
        queries[query.query] = cursor
        guard query.select == .status else { return cursor.resume() }
        // Its row is made of what the event loops say now.
        let bound = NIOLoopBound((self, cursor), eventLoop: shared.loop)
        let loop = shared.loop
        shared.gatherFigures {
            loop.execute {
                let (handler, cursor) = bound.value
                cursor.resume()
                // It may have ended at once, for want of a row to give.
                handler.flush()
            }
        }
    }

    private func count(_ select: Query.Selection) {
        switch select {
        case .history: shared.metrics.historyQueries.add()
        case .topics: shared.metrics.topicsQueries.add()
        case .status: shared.metrics.statusQueries.add()
        }
    }

    package func rows(_ query: QueryCursor, _ batch: MessageBatch, _ range: Range<Int>) {
        guard !range.isEmpty else { return }
        var encoder = MessageEncoder(way: way ?? .json)
        var rows = ByteBuffer()
        for message in batch.messages[range] {
            // In pieces, because a buffer that grows may have twice the storage it needs.
            if rows.readableBytes >= NativeHandler.outBytesMax {
                write(rows)
                rows = ByteBuffer()
            }
            let publisher =
                message.publisher == StoredMessage.noPublisher ? "" : batch.publishers[Int(message.publisher)]
            encoder.write(
                message, of: batch, .query(query.number, publisher: publisher), isRetained: false, into: &rows)
        }
        write(rows)
    }

    package func row(_ query: QueryCursor, _ topic: TopicRow) {
        write(
            query,
            .object([
                JSON.Member("topic", .string(topic.topic)), JSON.Member("messages", .unsigned(topic.messages)),
                JSON.Member("last-seq", .unsigned(topic.lastSeq)),
            ]))
    }

    package func row(_ query: QueryCursor, _ status: LogStatus) {
        write(query, shared.status(status))
    }

    private func write(_ query: QueryCursor, _ json: JSON) {
        var row = ByteBuffer()
        EnvelopeWriter.row(query: query.number, json: json, way: way ?? .json, into: &row)
        write(row)
    }

    package func ended(_ query: QueryCursor, count: UInt64, reason: String) {
        close(query)
        reply(.end(QueryEnd(query: query.number, count: count, reason: reason)))
    }

    package func failed(_ query: QueryCursor, _ error: ApusError) {
        close(query)
        reply(.error(ErrorReply(error, query: query.number)))
    }

    private func close(_ query: QueryCursor) {
        queries[query.number] = nil
        guest.queries[query.number] = nil
        session.ended(query: query.number)
    }
}
