internal import ApusModel
internal import NIOCore

/// Reads a compact header. Every length is checked against what is there; a fault is fatal.
struct CompactReader {
    private let bytes: UnsafeRawBufferPointer
    private var offset = 0

    init(bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    private mutating func take(_ count: Int) throws(ApusError) -> Int {
        guard bytes.count - offset >= count else {
            throw .fatal(.malformedHeader, "the compact header ends inside a field, at byte \(bytes.count)")
        }
        defer { offset += count }
        return offset
    }

    mutating func u8() throws(ApusError) -> UInt8 { bytes[try take(1)] }
    mutating func u16() throws(ApusError) -> UInt16 { UInt16(bigEndian: try load()) }
    mutating func u32() throws(ApusError) -> UInt32 { UInt32(bigEndian: try load()) }
    mutating func u64() throws(ApusError) -> UInt64 { UInt64(bigEndian: try load()) }

    private mutating func load<Value: FixedWidthInteger & BitwiseCopyable>() throws(ApusError) -> Value {
        bytes.loadUnaligned(fromByteOffset: try take(MemoryLayout<Value>.size), as: Value.self)
    }

    private mutating func slice(_ length: Int) throws(ApusError) -> Slice {
        Slice(offset: UInt32(try take(length)), length: UInt32(length))
    }

    private func text(_ slice: Slice) throws(ApusError) -> String {
        guard let text = String(validating: UnsafeRawBufferPointer(rebasing: bytes[slice.range]), as: UTF8.self) else {
            throw .fatal(.malformedHeader, "a text that is not UTF-8, at byte \(slice.offset)")
        }
        return text
    }

    /// What every compact header begins with.
    mutating func prefix() throws(ApusError) -> (kind: UInt8, flags: UInt8, contentBytes: UInt32) {
        (try u8(), try u8(), try u32())
    }

    // MARK: Kinds with fixed fields

    /// Sets everything but what `text` refers to and the content.
    mutating func publish(flags: UInt8, into publish: inout Publish) throws(ApusError) {
        guard let level = AckLevel(rawValue: flags & Wire.PublishFlags.levelMask) else {
            throw .fatal(.malformedHeader, "an unknown ack level in the flags of a publish")
        }
        publish.level = level
        publish.retain = flags & Wire.PublishFlags.marked != 0
        publish.hasID = flags & Wire.PublishFlags.hasID != 0
        publish.ttl = 0
        publish.id = try u64()
        // As in JSON, and as the log holds it.
        guard publish.id <= UInt64(Int64.max) else {
            throw .fatal(.malformedHeader, "a publish id beyond \(Int64.max)")
        }
        publish.text = EnvelopeText()
        publish.text.topic = try slice(Int(try u16()))
        guard offset < bytes.count else { return }
        var ttl: UInt32 = 0
        try properties(into: &publish.text) { field, value throws(ApusError) in
            if field == .ttl { ttl = UInt32(clamping: value) }
        }
        publish.ttl = ttl
    }

    /// Sets everything but what `text` refers to and the content.
    mutating func message(flags: UInt8, into envelope: inout Envelope) throws(ApusError) {
        envelope.isRedelivered = flags & Wire.MessageFlags.redelivered != 0
        envelope.isRetained = flags & Wire.MessageFlags.retained != 0
        envelope.isConverted = flags & Wire.MessageFlags.converted != 0
        envelope.subscription = try u32()
        envelope.seq = try u64()
        envelope.time = Microseconds(bitPattern: try u64())
        envelope.deliveryCount = 1
        envelope.text = EnvelopeText()
        envelope.text.topic = try slice(Int(try u16()))
        guard offset < bytes.count else { return }
        var deliveryCount: UInt64 = 1
        try properties(into: &envelope.text) { field, value throws(ApusError) in
            if field == .deliveryCount { deliveryCount = value }
        }
        envelope.deliveryCount = deliveryCount
    }

    mutating func published(flags: UInt8) throws(ApusError) -> PublishedRun {
        guard let level = AckLevel(rawValue: flags & Wire.PublishFlags.levelMask) else {
            throw .fatal(.malformedHeader, "an unknown ack level in the flags of a published")
        }
        let id = try u64()
        let count = UInt64(try u32())
        return PublishedRun(
            lastID: flags & Wire.PublishFlags.hasID != 0 ? id : nil, count: count, lastSeq: try u64(), level: level,
            isDuplicate: flags & Wire.PublishFlags.marked != 0)
    }

    // MARK: Properties

    /// The next property's tag and value; unknown tags are passed over by whoever asks, a repeated one is fatal.
    private mutating func property(seen: inout UInt64) throws(ApusError) -> (field: Field?, value: Slice) {
        let tag = try u8()
        let value = try slice(Int(try u16()))
        guard tag < 64, let field = Field(rawValue: tag) else { return (nil, value) }
        guard seen & (1 << UInt64(tag)) == 0 else {
            throw .fatal(.duplicateField, "the property \"\(field.name)\" stands twice")
        }
        seen |= 1 << UInt64(tag)
        return (field, value)
    }

    private mutating func properties(
        into text: inout EnvelopeText, integer: (Field, UInt64) throws(ApusError) -> Void
    ) throws(ApusError) {
        var seen: UInt64 = 0
        while offset < bytes.count {
            let (field, value) = try property(seen: &seen)
            switch field {
            case .contentType: text.contentType = value
            case .charset: text.charset = value
            case .contentEncoding: text.contentEncoding = value
            case .byteOrder: text.byteOrder = value
            case .format: text.format = value
            case .headers: text.headers = value
            case .key: text.key = value
            case .publisher: text.publisher = value
            case .ttl, .deliveryCount: try integer(field ?? .ttl, try unsigned(value))
            default: break
            }
        }
    }

    private func unsigned(_ value: Slice) throws(ApusError) -> UInt64 {
        guard value.length == 8 else {
            throw .fatal(.malformedHeader, "an integer property of \(value.length) bytes, it has 8")
        }
        return UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: Int(value.offset), as: UInt64.self))
    }

    /// All properties of a kind without fixed fields.
    mutating func bag() throws(ApusError) -> FieldBag {
        var bag = FieldBag()
        var seen: UInt64 = 0
        while offset < bytes.count {
            let (field, value) = try property(seen: &seen)
            guard let field else { continue }
            switch field.form {
            case .integer: bag.set(field, .integer(Int64(bitPattern: try unsigned(value))))
            case .text: bag.set(field, .string(try text(value)))
            case .bool:
                guard value.length == 1 else {
                    throw .fatal(.malformedHeader, "a true-or-false property of \(value.length) bytes, it has 1")
                }
                bag.set(field, .bool(bytes[Int(value.offset)] != 0))
            case .json:
                bag.set(field, try JSONParser.parse(UnsafeRawBufferPointer(rebasing: bytes[value.range])))
            }
        }
        return bag
    }
}
