internal import ApusModel
internal import NIOCore

/// The kinds' fields, read from a bag: everything that is not a compact publish, message or published.
enum ColdFrames {
    static func frame(_ kind: Kind, _ bag: FieldBag) throws(ApusError) -> Frame {
        switch kind {
        case .hello: return .hello(try hello(bag))
        case .welcome: return .welcome(try welcome(bag))
        case .published: return .published(try published(bag))
        case .subscribe: return .subscribe(try subscribe(bag))
        case .subscribed:
            return .subscribed(
                subscription: try bag.number(.subscription), next: try bag.required(.next, try bag.unsigned(.next)))
        case .credit: return .credit(try credit(bag))
        case .ack: return .ack(subscription: try bag.number(.subscription), seq: try seq(bag))
        case .nack: return .nack(subscription: try bag.number(.subscription), seq: try seq(bag))
        case .unsubscribe: return .unsubscribe(subscription: try bag.number(.subscription))
        case .caughtUp: return .caughtUp(subscription: try bag.number(.subscription), seq: try seq(bag))
        case .gap: return .gap(try gap(bag))
        case .query: return .query(try query(bag))
        case .end:
            return .end(
                QueryEnd(
                    query: try bag.number(.query), count: try bag.unsigned(.count) ?? 0,
                    reason: try bag.text(.reason) ?? "cancelled"))
        case .ping: return .ping
        case .pong: return .pong
        case .error: return .error(try error(bag))
        case .goodbye: return .goodbye(reason: try bag.text(.reason))
        case .publish, .message, .row:
            throw ApusError(.internalError, "\(kind.name) is read elsewhere")
        }
    }

    /// A frame that cannot be followed, with whatever it names, so that its sender can tell which one it was.
    static func invalid(_ bag: FieldBag, _ error: ApusError, isPublish: Bool = false) -> Frame {
        func number(_ field: Field) -> UInt64? {
            if case .integer(let value) = bag[field], value >= 0 { return UInt64(value) }
            return nil
        }
        // A publish of level `none` is not answered: what is said about it pairs with nothing.
        let isUnanswered = isPublish && bag[.level] == .string(AckLevel.none.name)
        return .invalid(
            ErrorReply(
                error, id: isUnanswered ? nil : number(.id),
                subscription: number(.subscription).flatMap(UInt32.init(exactly:)),
                query: number(.query).flatMap(UInt32.init(exactly:)), count: isPublish && !isUnanswered ? 1 : 0))
    }

    private static func seq(_ bag: FieldBag) throws(ApusError) -> Seq {
        try bag.required(.seq, try bag.unsigned(.seq))
    }

    private static func hello(_ bag: FieldBag) throws(ApusError) -> Hello {
        var hello = Hello()
        hello.version = try bag.unsigned(.version) ?? Wire.version
        hello.clientID = try name(.clientID, bag)
        hello.publisher = try name(.publisher, bag)
        hello.user = try name(.user, bag)
        hello.password = Secret(optional: try bag.text(.password))
        hello.token = Secret(optional: try bag.text(.token))
        hello.keepAlive = try bag.unsigned(.keepAlive)
        return hello
    }

    /// Names are compared, stored and logged: a NUL would end one early somewhere, a line feed would forge a log line.
    private static func name(_ field: Field, _ bag: FieldBag) throws(ApusError) -> String? {
        guard let name = try bag.text(field) else { return nil }
        guard !name.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) else {
            throw ApusError(.invalidField, "the field \"\(field.name)\" contains a control character")
        }
        return name
    }

    private static func welcome(_ bag: FieldBag) throws(ApusError) -> Welcome {
        var limits: [String: UInt64] = [:]
        if case .object(let members) = bag[.limits] {
            for member in members {
                if case .integer(let value) = member.value, value >= 0 { limits[member.name] = UInt64(value) }
            }
        }
        var welcome = Welcome(
            clientID: try bag.text(.clientID) ?? "", log: try bag.text(.log) ?? "",
            lastID: try bag.unsigned(.lastID), keepAlive: try bag.unsigned(.keepAlive) ?? 0, limits: limits)
        welcome.version = try bag.unsigned(.version) ?? Wire.version
        return welcome
    }

    private static func level(_ bag: FieldBag) throws(ApusError) -> AckLevel {
        guard let name = try bag.text(.level) else { return .synced }
        guard let level = AckLevel(name: name) else {
            throw ApusError(.invalidField, "the level is \"\(name.prefix(40))\"", hint: "It is none, stored or synced.")
        }
        return level
    }

    private static func published(_ bag: FieldBag) throws(ApusError) -> PublishedRun {
        PublishedRun(
            lastID: try bag.unsigned(.id), count: try bag.unsigned(.count) ?? 1, lastSeq: try bag.unsigned(.seq) ?? 0,
            level: try level(bag), isDuplicate: try bag.bool(.duplicate))
    }

    // MARK: Publish and message, as JSON

    static func publish(_ bag: FieldBag) throws(ApusError) -> Publish {
        var fields = ByteBuffer()
        let text = try envelopeText(bag, into: &fields)
        var publish = Publish(fields: fields, content: ByteBuffer())
        publish.text = text
        if let id = try bag.unsigned(.id) {
            publish.id = id
            publish.hasID = true
        }
        publish.level = try level(bag)
        publish.retain = try bag.bool(.retain)
        publish.ttl = UInt32(try bag.unsigned(.ttl, max: UInt64(UInt32.max)) ?? 0)
        return publish
    }

    /// - Parameter number: the field that says what the message comes for.
    static func envelope(_ bag: FieldBag, number: Field) throws(ApusError) -> Envelope {
        var fields = ByteBuffer()
        let text = try envelopeText(bag, into: &fields)
        var envelope = Envelope(fields: fields, content: ByteBuffer())
        envelope.text = text
        envelope.subscription = try bag.number(number)
        envelope.seq = try bag.unsigned(.seq) ?? 0
        envelope.time = try bag.signed(.time) ?? 0
        envelope.isRedelivered = try bag.bool(.redelivered)
        envelope.isRetained = try bag.bool(.retained)
        envelope.isConverted = try bag.bool(.converted)
        envelope.deliveryCount = try bag.unsigned(.deliveryCount) ?? 1
        return envelope
    }

    private static func envelopeText(_ bag: FieldBag, into fields: inout ByteBuffer) throws(ApusError) -> EnvelopeText {
        func put(_ text: String?, _ fields: inout ByteBuffer) -> Slice {
            guard let text else { return .empty }
            let offset = fields.writerIndex
            return Slice(offset: UInt32(offset), length: UInt32(fields.writeString(text)))
        }
        var text = EnvelopeText()
        text.topic = put(try bag.text(.topic), &fields)
        text.contentType = put(try bag.text(.contentType), &fields)
        text.charset = put(try bag.text(.charset), &fields)
        text.contentEncoding = put(try bag.text(.contentEncoding), &fields)
        text.byteOrder = put(try bag.text(.byteOrder), &fields)
        text.format = put(try bag.text(.format), &fields)
        text.key = put(try bag.text(.key), &fields)
        text.publisher = put(try bag.text(.publisher), &fields)
        if let headers = bag[.headers], headers != .null { text.headers = put(headers.text, &fields) }
        return text
    }

    // MARK: Subscribing

    /// Fields that change what a subscription means: leaving them out of account would be a lie, so they are refused.
    private static let laterFields: [Field] = [
        .durable, .group, .ackDeadline, .maxDeliveries, .maxLag, .maxLagBytes, .maxLagAge, .acceptCharset,
        .acceptEncoding, .acceptByteOrder,
    ]

    private static func subscribe(_ bag: FieldBag) throws(ApusError) -> Subscribe {
        for field in laterFields where bag[field] != nil {
            throw ApusError(.notSupported, "this broker does not support \"\(field.name)\" in subscribe")
        }
        if let mode = try bag.text(.ackMode), mode != "auto" {
            throw ApusError(.notSupported, "this broker does not support the ack-mode \"\(mode.prefix(40))\"")
        }
        if let policy = try bag.text(.policy), policy != "spill" {
            throw ApusError(.notSupported, "this broker does not support the policy \"\(policy.prefix(40))\"")
        }
        let filters = try filters(bag)
        guard !filters.isEmpty else { throw ApusError(.missingField, "the field \"filter\" is missing") }
        return Subscribe(
            subscription: try bag.number(.subscription), filters: filters, from: try start(bag[.from]),
            credit: try bag.unsigned(.credit))
    }

    private static func filters(_ bag: FieldBag) throws(ApusError) -> [TopicFilter] {
        let problem = ApusError(.invalidField, "the field \"filter\" is neither a string nor an array of strings")
        switch bag[.filter] {
        case nil, .null: return []
        case .string(let text): return [try filter(text)]
        case .array(let items):
            var filters: [TopicFilter] = []
            for item in items {
                guard case .string(let text) = item else { throw problem }
                filters.append(try filter(text))
            }
            return filters
        default: throw problem
        }
    }

    private static func filter(_ text: String) throws(ApusError) -> TopicFilter {
        // How many levels a filter may have is the session's to say; here only what any broker may read.
        try TopicFilter(text, levelsMax: Topic.bytesMax)
    }

    static func start(_ value: JSON?) throws(ApusError) -> StartPosition {
        switch value {
        case nil, .null, .string("now"): return .now
        case .string("start"): return .start
        case .string("last-per-topic"): return .lastPerTopic
        case .integer(let seq) where seq >= 0: return .seq(Seq(seq))
        case .object(let members) where members.count == 1:
            var bag = FieldBag()
            switch (members[0].name, members[0].value) {
            case ("time", let time):
                bag.set(.time, time)
                if let time = try bag.time(.time) { return .time(time) }
            case ("ago", .string(let text)):
                if let ago = Timestamp.parseDuration(text) { return .ago(ago) }
            case ("ago", .integer(let seconds)) where (0...3_200_000_000).contains(seconds):
                return .ago(seconds * 1_000_000)
            case ("last", .integer(let count)) where (0...Int64(Int32.max)).contains(count):
                return .last(Int(count))
            default: break
            }
        default: break
        }
        throw ApusError(
            .invalidField, "the field \"from\" is no start position",
            hint: #"It is a seq, "now", "start", "last-per-topic", {"time":…}, {"ago":"10m"} or {"last":20}."#)
    }

    static func json(_ start: StartPosition) -> JSON {
        switch start {
        case .now: .string("now")
        case .start: .string("start")
        case .lastPerTopic: .string("last-per-topic")
        case .seq(let seq): .unsigned(seq)
        case .time(let time): .object([JSON.Member("time", .integer(time))])
        case .ago(let ago): .object([JSON.Member("ago", .string("\(ago / 1_000)ms"))])
        case .last(let count): .object([JSON.Member("last", .integer(Int64(count)))])
        }
    }

    private static func credit(_ bag: FieldBag) throws(ApusError) -> Credit {
        let target: Credit.Target =
            bag[.query] != nil ? .query(try bag.number(.query)) : .subscription(try bag.number(.subscription))
        return Credit(target: target, credit: try bag.required(.credit, try bag.unsigned(.credit)))
    }

    private static func gap(_ bag: FieldBag) throws(ApusError) -> GapNotice {
        GapNotice(
            subscription: try bag.number(.subscription), from: try bag.required(.from, try bag.unsigned(.from)),
            to: try bag.required(.to, try bag.unsigned(.to)), count: try bag.unsigned(.count) ?? 0,
            reason: try bag.text(.reason) ?? "")
    }

    // MARK: Queries

    private static func query(_ bag: FieldBag) throws(ApusError) -> Query {
        let name = try bag.required(.select, try bag.text(.select))
        guard let selection = Query.Selection(rawValue: name) else {
            throw ApusError(
                .invalidField, "cannot select \"\(name.prefix(40))\"", hint: "select is history, topics or status.")
        }
        var query = Query(query: try bag.number(.query), select: selection)
        query.filters = try filters(bag)
        query.conditions = try conditions(bag)
        query.limit = try bag.unsigned(.limit)
        query.credit = try bag.unsigned(.credit)
        return query
    }

    private static func conditions(_ bag: FieldBag) throws(ApusError) -> HistoryConditions {
        var conditions = HistoryConditions()
        conditions.fromSeq = try bag.unsigned(.from)
        conditions.toSeq = try bag.unsigned(.to)
        conditions.since = try bag.time(.since)
        conditions.until = try bag.time(.until)
        conditions.last = try bag.unsigned(.last, max: UInt64(Int32.max)).map(Int.init)
        conditions.contentType = try bag.text(.contentType)
        if let headers = bag[.headers], headers != .null { conditions.headers = try Headers(json: headers) }
        conditions.grep = try bag.text(.grep)
        conditions.publisher = try bag.text(.publisher)
        return conditions
    }

    private static func error(_ bag: FieldBag) throws(ApusError) -> ErrorReply {
        let code = try bag.required(.code, try bag.text(.code))
        // A newer broker may know more codes; its text still says what is wrong.
        let error = ApusError(
            ApusError.Code(rawValue: code) ?? .internalError, try bag.text(.message) ?? code,
            hint: try bag.text(.hint), isFatal: try bag.bool(.fatal))
        return ErrorReply(
            error, id: try bag.unsigned(.id),
            subscription: try bag.unsigned(.subscription, max: UInt64(UInt32.max)).map(UInt32.init),
            query: try bag.unsigned(.query, max: UInt64(UInt32.max)).map(UInt32.init),
            count: try bag.unsigned(.count) ?? 0)
    }
}
