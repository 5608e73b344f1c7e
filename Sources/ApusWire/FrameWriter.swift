internal import ApusModel
package import NIOCore

/// Writes frames that are not on the hot path, in either way. (Publish, message and row: `EnvelopeWriter`.)
package enum FrameWriter {
    /// - Returns: false where the header would have more than 65,535 bytes: then nothing is written. No frame of the
    ///   broker has, whatever it quotes; a client's may, where its texts come from outside.
    @discardableResult
    package static func write(_ frame: Frame, _ way: Way, into out: inout ByteBuffer) -> Bool {
        let start = out.writerIndex
        writeUnchecked(frame, way, into: &out)
        let length = out.writerIndex - start - Wire.lengthBytes
        guard length <= Int(UInt16.max) else {
            out.moveWriterIndex(to: start)
            return false
        }
        out.setInteger(UInt16(length), at: start)
        return true
    }

    private static func writeUnchecked(_ frame: Frame, _ way: Way, into out: inout ByteBuffer) {
        switch frame {
        case .hello(let hello): write(.hello, bag(hello), way, into: &out)
        case .welcome(let welcome): write(.welcome, bag(welcome), way, into: &out)
        case .published(let published): write(published, way, into: &out)
        case .subscribe(let subscribe): write(.subscribe, bag(subscribe), way, into: &out)
        case .subscribed(let subscription, let next):
            write(.subscribed, numbers([(.subscription, UInt64(subscription)), (.next, next)]), way, into: &out)
        case .credit(let credit): write(.credit, bag(credit), way, into: &out)
        case .ack(let subscription, let seq):
            write(.ack, numbers([(.subscription, UInt64(subscription)), (.seq, seq)]), way, into: &out)
        case .nack(let subscription, let seq):
            write(.nack, numbers([(.subscription, UInt64(subscription)), (.seq, seq)]), way, into: &out)
        case .unsubscribe(let subscription):
            write(.unsubscribe, numbers([(.subscription, UInt64(subscription))]), way, into: &out)
        case .caughtUp(let subscription, let seq):
            write(.caughtUp, numbers([(.subscription, UInt64(subscription)), (.seq, seq)]), way, into: &out)
        case .gap(let gap): write(.gap, bag(gap), way, into: &out)
        case .query(let query): write(.query, bag(query), way, into: &out)
        case .end(let end):
            var bag = numbers([(.query, UInt64(end.query)), (.count, end.count)])
            bag.set(.reason, end.reason)
            write(.end, bag, way, into: &out)
        case .ping: write(.ping, FieldBag(), way, into: &out)
        case .pong: write(.pong, FieldBag(), way, into: &out)
        case .error(let reply), .invalid(let reply): write(.error, bag(reply), way, into: &out)
        case .goodbye(let reason):
            var bag = FieldBag()
            bag.set(.reason, reason)
            write(.goodbye, bag, way, into: &out)
        case .publish, .message, .row:
            preconditionFailure("written by EnvelopeWriter")
        }
    }

    // MARK: Fields of each kind

    private static func numbers(_ values: [(Field, UInt64)]) -> FieldBag {
        var bag = FieldBag()
        for (field, value) in values { bag.set(field, value) }
        return bag
    }

    private static func bag(_ hello: Hello) -> FieldBag {
        var bag = numbers([(.version, hello.version)])
        bag.set(.clientID, hello.clientID)
        bag.set(.publisher, hello.publisher)
        bag.set(.user, hello.user)
        bag.set(.password, hello.password?.revealed)
        bag.set(.token, hello.token?.revealed)
        bag.set(.keepAlive, hello.keepAlive)
        return bag
    }

    private static func bag(_ welcome: Welcome) -> FieldBag {
        var bag = numbers([(.version, welcome.version)])
        bag.set(.clientID, welcome.clientID)
        bag.set(.log, welcome.log)
        bag.set(.lastID, welcome.lastID)
        bag.set(.keepAlive, welcome.keepAlive)
        let limits = welcome.limits.sorted { $0.key < $1.key }
        bag.set(.limits, .object(limits.map { JSON.Member($0.key, .unsigned($0.value)) }))
        return bag
    }

    private static func bag(_ subscribe: Subscribe) -> FieldBag {
        var bag = numbers([(.subscription, UInt64(subscribe.subscription))])
        bag.set(.filter, filters(subscribe.filters))
        bag.set(.from, ColdFrames.json(subscribe.from))
        bag.set(.credit, subscribe.credit)
        return bag
    }

    private static func filters(_ filters: [TopicFilter]) -> JSON {
        filters.count == 1 ? .string(filters[0].text) : .array(filters.map { .string($0.text) })
    }

    private static func bag(_ credit: Credit) -> FieldBag {
        switch credit.target {
        case .subscription(let number): numbers([(.subscription, UInt64(number)), (.credit, credit.credit)])
        case .query(let number): numbers([(.query, UInt64(number)), (.credit, credit.credit)])
        }
    }

    private static func bag(_ gap: GapNotice) -> FieldBag {
        var bag = numbers([(.subscription, UInt64(gap.subscription)), (.to, gap.to), (.count, gap.count)])
        bag.set(.from, .unsigned(gap.from))
        bag.set(.reason, gap.reason)
        return bag
    }

    private static func bag(_ query: Query) -> FieldBag {
        var bag = numbers([(.query, UInt64(query.query))])
        bag.set(.select, query.select.rawValue)
        if !query.filters.isEmpty { bag.set(.filter, filters(query.filters)) }
        let conditions = query.conditions
        if let from = conditions.fromSeq { bag.set(.from, .unsigned(from)) }
        bag.set(.to, conditions.toSeq)
        if let since = conditions.since { bag.set(.since, .integer(since)) }
        if let until = conditions.until { bag.set(.until, .integer(until)) }
        bag.set(.last, conditions.last.map(UInt64.init))
        bag.set(.contentType, conditions.contentType)
        if !conditions.headers.isEmpty { bag.set(.headers, conditions.headers.json) }
        bag.set(.grep, conditions.grep)
        bag.set(.publisher, conditions.publisher)
        bag.set(.limit, query.limit)
        bag.set(.credit, query.credit)
        return bag
    }

    private static func bag(_ reply: ErrorReply) -> FieldBag {
        var bag = FieldBag()
        bag.set(.code, reply.error.code.rawValue)
        bag.set(.message, bounded(reply.error.message))
        bag.set(.hint, reply.error.hint.map(bounded))
        bag.set(.fatal, reply.error.isFatal)
        bag.set(.id, reply.id)
        bag.set(.subscription, reply.subscription.map(UInt64.init))
        bag.set(.query, reply.query.map(UInt64.init))
        if reply.count > 0 { bag.set(.count, reply.count) }
        return bag
    }

    /// The longest text of an error, in bytes.
    static let errorTextBytesMax = 4_096

    /// Errors quote what they refuse. Quotes are cut by characters, and one character may have any number of bytes.
    private static func bounded(_ text: String) -> String {
        guard text.utf8.count > errorTextBytesMax else { return text }
        var scalars = String.UnicodeScalarView()
        var bytes = 0
        for scalar in text.unicodeScalars {
            bytes += UTF8.width(scalar)
            guard bytes <= errorTextBytesMax - 3 else { break }
            scalars.append(scalar)
        }
        return String(scalars) + "…"
    }

    private static func write(_ published: PublishedRun, _ way: Way, into out: inout ByteBuffer) {
        guard way == .compact else {
            var bag = FieldBag()
            bag.set(.id, published.lastID)
            if published.count != 1 { bag.set(.count, published.count) }
            if published.lastSeq > 0 { bag.set(.seq, published.lastSeq) }
            bag.set(.level, published.level.name)
            bag.set(.duplicate, published.isDuplicate)
            return write(.published, bag, way, into: &out)
        }
        var flags = published.level.rawValue
        if published.isDuplicate { flags |= Wire.PublishFlags.marked }
        if published.lastID != nil { flags |= Wire.PublishFlags.hasID }
        out.writeMultipleIntegers(
            UInt16(0), Kind.published.rawValue, flags, UInt32(0), published.lastID ?? 0,
            UInt32(clamping: published.count), published.lastSeq)
    }

    // MARK: The two ways

    /// The header, behind room for its length.
    private static func write(
        _ kind: Kind, _ bag: FieldBag, _ way: Way, into out: inout ByteBuffer
    ) {
        out.writeInteger(UInt16(0))
        switch way {
        case .json:
            var members = [JSON.Member("kind", .string(kind.name))]
            members += bag.values.map { JSON.Member($0.field.name, $0.value) }
            out.writeBytes(JSON.object(members).bytes)
        case .compact:
            out.writeMultipleIntegers(kind.rawValue, UInt8(0), UInt32(0))
            for (field, value) in bag.values { write(field, value, into: &out) }
        }
    }

    private static func write(_ field: Field, _ value: JSON, into out: inout ByteBuffer) {
        out.writeInteger(field.rawValue)
        switch (field.form, value) {
        case (.integer, .integer(let number)): out.writeMultipleIntegers(UInt16(8), number)
        case (.bool, .bool(let flag)): out.writeMultipleIntegers(UInt16(1), UInt8(flag ? 1 : 0))
        case (.text, .string(let text)):
            // Where 16 bits do not hold the length, the header is too long and is taken back.
            out.writeInteger(UInt16(clamping: text.utf8.count))
            out.writeString(text)
        default:
            let bytes = value.bytes
            out.writeInteger(UInt16(clamping: bytes.count))
            out.writeBytes(bytes)
        }
    }
}
