internal import ApusModel
internal import NIOCore

/// A header that was read; its content, when it is there, makes it a frame.
struct ParsedHeader {
    private enum Body {
        case publish(Publish)
        case message(Envelope)
        case row(Envelope)
        case frame(Frame)
    }

    private var body: Body
    let contentBytes: UInt64

    /// Storage that the texts of an envelope keep alive; 0 for other kinds.
    var bytesHeld: Int {
        switch body {
        case .publish(let publish): publish.fields.storageCapacity
        case .message(let envelope), .row(let envelope): envelope.fields.storageCapacity
        case .frame: 0
        }
    }

    var isPublish: Bool {
        if case .publish = body { true } else { false }
    }

    /// Lets go of a large receive buffer that a header which waits for its content would pin.
    mutating func settle() {
        switch body {
        case .publish(var publish):
            publish.fields = ParsedHeader.settled(publish.fields)
            body = .publish(publish)
        case .message(var envelope):
            envelope.fields = ParsedHeader.settled(envelope.fields)
            body = .message(envelope)
        case .row(var envelope):
            envelope.fields = ParsedHeader.settled(envelope.fields)
            body = .row(envelope)
        case .frame: break
        }
    }

    private static func settled(_ fields: ByteBuffer) -> ByteBuffer {
        guard fields.readableBytes < fields.storageCapacity / 4 else { return fields }
        var copy = ByteBuffer()
        copy.writeImmutableBuffer(fields)
        return copy
    }

    func frame(content: ByteBuffer) -> Frame {
        switch body {
        case .publish(var publish):
            publish.content = content
            return .publish(publish)
        case .message(var envelope):
            envelope.content = content
            return .message(envelope)
        case .row(var envelope):
            envelope.content = content
            do throws(ApusError) {
                return .row(try Row(envelope))
            } catch {
                return .invalid(ErrorReply(error, query: envelope.subscription))
            }
        case .frame(let frame): return frame
        }
    }

    // MARK: JSON

    init(json header: ByteBuffer) throws(ApusError) {
        let value = try header.withBytes { bytes throws(ApusError) in try JSONParser.parse(bytes) }
        guard case .object(let members) = value else { throw .fatal(.malformedHeader, "the header is not an object") }
        var bag = FieldBag()
        var kindName = Kind.publish.name
        var contentLength: JSON?
        for member in members {
            switch member.name {
            case "kind":
                guard case .string(let name) = member.value else {
                    throw .fatal(.malformedHeader, "\"kind\" is not a string")
                }
                kindName = name
            case "content-length": contentLength = member.value
            default:
                guard let field = Field.byName[member.name] else { continue }
                guard bag[field] == nil else {
                    throw .fatal(.duplicateField, "the field \"\(field.name)\" stands twice, in two spellings")
                }
                bag.set(field, member.value)
            }
        }
        switch contentLength {
        case nil: contentBytes = 0
        case .integer(let length) where length >= 0: contentBytes = UInt64(length)
        default: throw .fatal(.malformedHeader, "\"content-length\" is not an integer from 0 on")
        }
        guard let kind = Kind(name: kindName) else {
            body = .frame(ColdFrames.invalid(bag, ApusError(.unknownKind, "no kind \"\(kindName.prefix(80))\"")))
            return
        }
        guard contentLength != nil || kind != .publish else {
            throw .fatal(
                .malformedHeader, "a publish without \"content-length\"",
                hint: "It says how many bytes of content follow the header; 0 is a length too.")
        }
        body = ParsedHeader.body(kind, bag)
    }

    // MARK: Compact

    init(compact header: ByteBuffer) throws(ApusError) {
        self = try header.withBytes { bytes throws(ApusError) in
            try ParsedHeader(compact: bytes, in: header)
        }
    }

    private init(compact bytes: UnsafeRawBufferPointer, in header: ByteBuffer) throws(ApusError) {
        var reader = CompactReader(bytes: bytes)
        let (kindNumber, flags, contentBytes) = try reader.prefix()
        self.contentBytes = UInt64(contentBytes)
        switch Kind(rawValue: kindNumber) {
        case .publish:
            var publish = Publish(fields: header, content: ByteBuffer())
            try reader.publish(flags: flags, into: &publish)
            body = .publish(publish)
        case .message, .row:
            var envelope = Envelope(fields: header, content: ByteBuffer())
            try reader.message(flags: flags, into: &envelope)
            body = kindNumber == Kind.row.rawValue ? .row(envelope) : .message(envelope)
        case .published: body = .frame(.published(try reader.published(flags: flags)))
        case let kind?: body = ParsedHeader.body(kind, try reader.bag())
        case nil:
            let error = ApusError(.unknownKind, "no kind 0x\(String(kindNumber, radix: 16))")
            body = .frame(.invalid(ErrorReply(error)))
        }
    }

    // MARK: Both

    private static func body(_ kind: Kind, _ bag: FieldBag) -> Body {
        do throws(ApusError) {
            switch kind {
            case .publish: return .publish(try ColdFrames.publish(bag))
            case .message: return .message(try ColdFrames.envelope(bag, number: .subscription))
            case .row: return .row(try ColdFrames.envelope(bag, number: .query))
            default: return .frame(try ColdFrames.frame(kind, bag))
            }
        } catch {
            var error = error
            // To go on as if nothing had been asked for would drop a publisher's name, and with it deduplication.
            if kind == .hello { error.isFatal = true }
            return .frame(ColdFrames.invalid(bag, error, isPublish: kind == .publish))
        }
    }
}

extension ByteBuffer {
    /// `withUnsafeReadableBytes`, with the error's type kept.
    func withBytes<Value>(
        _ body: (UnsafeRawBufferPointer) throws(ApusError) -> Value
    ) throws(ApusError) -> Value {
        let result = withUnsafeReadableBytes { bytes in
            Result<Value, ApusError> { () throws(ApusError) in try body(bytes) }
        }
        return try result.get()
    }
}
