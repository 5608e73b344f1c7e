import ApusModel
import ApusWire
import NIOCore

/// What a frame says, in the words of docs/PROTOCOL.md: how test vectors write frames down. Defaults are spelled out.
func describe(_ frame: Frame) -> JSON {
    var out = Description()
    switch frame {
    case .hello(let hello): out.put(hello)
    case .welcome(let welcome): out.put(welcome)
    case .publish(let publish): out.put(publish)
    case .published(let published): out.put(published)
    case .subscribe(let subscribe): out.put(subscribe)
    case .subscribed(let subscription, let next):
        out.kind("subscribed", ("subscription", UInt64(subscription)), ("next", next))
    case .message(let envelope): out.put(envelope)
    case .credit(let credit): out.put(credit)
    case .ack(let number, let seq): out.kind("ack", ("subscription", UInt64(number)), ("seq", seq))
    case .nack(let number, let seq): out.kind("nack", ("subscription", UInt64(number)), ("seq", seq))
    case .unsubscribe(let number): out.kind("unsubscribe", ("subscription", UInt64(number)))
    case .caughtUp(let number, let seq): out.kind("caught-up", ("subscription", UInt64(number)), ("seq", seq))
    case .gap(let gap): out.put(gap)
    case .query(let query): out.put(query)
    case .row(let row): out.put(row)
    case .end(let end):
        out.kind("end", ("query", UInt64(end.query)), ("count", end.count))
        out.put("reason", end.reason)
    case .ping: out.kind("ping")
    case .pong: out.kind("pong")
    case .error(let reply):
        out.kind("error")
        out.put(reply)
        out.put("message", reply.error.message)
        out.put("hint", reply.error.hint)
    case .invalid(let reply):
        out.kind("invalid")
        out.put(reply)
    case .goodbye(let reason):
        out.kind("goodbye")
        out.put("reason", reason)
    }
    return .object(out.members)
}

/// What an error says, without its text.
func describe(_ error: ApusError) -> JSON {
    var out = Description()
    out.put(ErrorReply(error))
    return .object(out.members)
}

private struct Description {
    var members: [JSON.Member] = []

    mutating func put(_ name: String, json: JSON) { members.append(JSON.Member(name, json)) }
    mutating func put(_ name: String, _ text: String?) {
        if let text { put(name, json: .string(text)) }
    }
    mutating func put(_ name: String, _ number: UInt64?) {
        if let number { put(name, json: .unsigned(number)) }
    }
    mutating func put(_ name: String, _ flag: Bool) { put(name, json: .bool(flag)) }

    mutating func kind(_ name: String, _ numbers: (String, UInt64)...) {
        put("kind", name)
        for (field, number) in numbers { put(field, number) }
    }

    mutating func put(_ hello: Hello) {
        kind("hello", ("version", hello.version))
        put("client-id", hello.clientID)
        put("publisher", hello.publisher)
        put("user", hello.user)
        put("password", hello.password?.revealed)
        put("token", hello.token?.revealed)
        put("keep-alive", hello.keepAlive)
    }

    mutating func put(_ welcome: Welcome) {
        kind("welcome", ("version", welcome.version), ("keep-alive", welcome.keepAlive))
        put("client-id", welcome.clientID)
        put("log", welcome.log)
        put("last-id", welcome.lastID)
        let limits = welcome.limits.sorted { $0.key < $1.key }
        put("limits", json: .object(limits.map { JSON.Member($0.key, .unsigned($0.value)) }))
    }

    mutating func put(_ publish: Publish) {
        kind("publish", ("ttl", UInt64(publish.ttl)))
        if publish.hasID { put("id", publish.id) }
        put("level", publish.level.name)
        put("retain", publish.retain)
        put("topic", publish.text.text(publish.text.topic, in: publish.fields) ?? "")
        put(publish.text, publish.fields)
        put("content", hex(publish.content))
    }

    mutating func put(_ text: EnvelopeText, _ fields: ByteBuffer) {
        put("content-type", text.text(text.contentType, in: fields))
        put("charset", text.text(text.charset, in: fields))
        put("content-encoding", text.text(text.contentEncoding, in: fields))
        put("byte-order", text.text(text.byteOrder, in: fields))
        put("format", text.text(text.format, in: fields))
        put("key", text.text(text.key, in: fields))
        put("publisher", text.text(text.publisher, in: fields))
        do throws(ApusError) {
            let headers = try text.headers(in: fields)
            if !headers.isEmpty { put("headers", json: headers.json) }
        } catch {
            put("headers", error.code.rawValue)
        }
    }

    mutating func put(_ published: PublishedRun) {
        kind("published", ("count", published.count), ("seq", published.lastSeq))
        put("id", published.lastID)
        put("level", published.level.name)
        put("duplicate", published.isDuplicate)
    }

    mutating func put(_ subscribe: Subscribe) {
        kind("subscribe", ("subscription", UInt64(subscribe.subscription)))
        put("filter", json: .array(subscribe.filters.map { .string($0.text) }))
        put("credit", subscribe.credit)
        let from: JSON =
            switch subscribe.from {
            case .now: .string("now")
            case .start: .string("start")
            case .lastPerTopic: .string("last-per-topic")
            case .seq(let seq): .unsigned(seq)
            case .time(let time): .object([JSON.Member("time", .integer(time))])
            case .ago(let ago): .object([JSON.Member("ago", .string("\(ago / 1_000)ms"))])
            case .last(let count): .object([JSON.Member("last", .integer(Int64(count)))])
            }
        put("from", json: from)
    }

    mutating func put(_ envelope: Envelope) {
        kind(
            "message", ("subscription", UInt64(envelope.subscription)), ("seq", envelope.seq),
            ("delivery-count", envelope.deliveryCount))
        put("time", json: .integer(envelope.time))
        put("topic", envelope.text.text(envelope.text.topic, in: envelope.fields))
        put(envelope.text, envelope.fields)
        put("redelivered", envelope.isRedelivered)
        put("retained", envelope.isRetained)
        put("converted", envelope.isConverted)
        put("content", hex(envelope.content))
    }

    mutating func put(_ credit: Credit) {
        switch credit.target {
        case .subscription(let number):
            kind("credit", ("subscription", UInt64(number)), ("credit", credit.credit))
        case .query(let number): kind("credit", ("query", UInt64(number)), ("credit", credit.credit))
        }
    }

    mutating func put(_ gap: GapNotice) {
        kind(
            "gap", ("subscription", UInt64(gap.subscription)), ("from", gap.from), ("to", gap.to),
            ("count", gap.count))
        put("reason", gap.reason)
    }

    mutating func put(_ query: Query) {
        kind("query", ("query", UInt64(query.query)))
        put("select", query.select.rawValue)
        put("filter", json: .array(query.filters.map { .string($0.text) }))
        put("from", query.conditions.fromSeq)
        put("to", query.conditions.toSeq)
        if let since = query.conditions.since { put("since", json: .integer(since)) }
        if let until = query.conditions.until { put("until", json: .integer(until)) }
        put("last", query.conditions.last.map(UInt64.init))
        put("content-type", query.conditions.contentType)
        if !query.conditions.headers.isEmpty { put("headers", json: query.conditions.headers.json) }
        put("grep", query.conditions.grep)
        put("publisher", query.conditions.publisher)
        put("limit", query.limit)
        put("credit", query.credit)
    }

    mutating func put(_ row: Row) {
        kind("row", ("query", UInt64(row.query)))
        if let message = row.message {
            put("seq", message.seq)
            put("time", json: .integer(message.receivedAt))
            put("topic", message.topic)
            put("content-type", message.encoding.contentType)
            put("charset", message.encoding.charset)
            put("content-encoding", message.encoding.contentEncoding)
            put("byte-order", message.encoding.byteOrder)
            put("format", message.encoding.format)
            if !message.headers.isEmpty { put("headers", json: message.headers.json) }
            put("key", message.key)
            put("publisher", message.publisher)
        }
        put("content", hex(row.content))
    }

    mutating func put(_ reply: ErrorReply) {
        put("code", reply.error.code.rawValue)
        put("fatal", reply.error.isFatal)
        put("id", reply.id)
        put("subscription", reply.subscription.map(UInt64.init))
        put("query", reply.query.map(UInt64.init))
        put("count", reply.count)
    }
}
