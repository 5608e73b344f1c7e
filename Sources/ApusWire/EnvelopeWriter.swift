// Part of station 7, cursors: messages become bytes here, and in the client library publishes do.

package import ApusModel
package import NIOCore

/// The part of an envelope that all messages with the same topic and encoding share, written once for each of them.
package struct EnvelopeFragment: Sendable {
    package let topic: [UInt8]
    /// Compact: the encoding's properties. JSON: its members, each with a comma before it.
    package let encoding: [UInt8]

    package init(topic: Topic, encoding: Encoding, way: Way) {
        var bytes: [UInt8] = []
        let fields: [(Field, String?)] = [
            (.contentType, encoding.contentType), (.charset, encoding.charset),
            (.contentEncoding, encoding.contentEncoding), (.byteOrder, encoding.byteOrder), (.format, encoding.format),
        ]
        for case (let field, let text?) in fields {
            switch way {
            case .compact:
                let length = UInt16(text.utf8.count)
                bytes += [field.rawValue, UInt8(length >> 8), UInt8(length & 0xFF)]
                bytes += text.utf8
            case .json:
                bytes += ",\"\(field.name)\":".utf8
                JSON.writeString(text.utf8, into: &bytes)
            }
        }
        self.encoding = bytes
        if way == .compact {
            self.topic = topic.bytes
        } else {
            var quoted: [UInt8] = []
            JSON.writeString(topic.bytes, into: &quoted)
            self.topic = quoted
        }
    }
}

/// Writes publishes and messages.
package enum EnvelopeWriter {
    /// What differs from message to message.
    package struct Content {
        package var headers: UnsafeRawBufferPointer
        package var key: UnsafeRawBufferPointer
        package var payload: UnsafeRawBufferPointer

        package init(
            headers: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer, payload: UnsafeRawBufferPointer
        ) {
            self.headers = headers
            self.key = key
            self.payload = payload
        }
    }

    /// What a message answers: it comes for a subscription, or as a row of a history query.
    package enum Address {
        case subscription(UInt32)
        /// `publisher`: the name it was published under; empty for none.
        case query(UInt32, publisher: String)

        fileprivate var kind: Kind {
            switch self {
            case .subscription: .message
            case .query: .row
            }
        }

        fileprivate var number: UInt32 {
            switch self {
            case .subscription(let number), .query(let number, _): number
            }
        }

        fileprivate var publisher: String {
            switch self {
            case .subscription: ""
            case .query(_, let publisher): publisher
            }
        }
    }

    /// A `message`, or a `row` of a history query.
    package static func message(
        _ address: Address, seq: Seq, time: Microseconds, isRetained: Bool, fragment: EnvelopeFragment,
        content: Content, way: Way, into out: inout ByteBuffer
    ) {
        let publisher = address.publisher
        switch way {
        case .compact:
            let publisherBytes = publisher.isEmpty ? 0 : Wire.propertyPrefixBytes + publisher.utf8.count
            write(fragment, content, fixedBytes: 20, extraBytes: publisherBytes, into: &out) { raw in
                raw.put(address.kind.rawValue)
                raw.put(isRetained ? Wire.MessageFlags.retained : UInt8(0))
                raw.put(UInt32(content.payload.count))
                raw.put(address.number)
                raw.put(seq)
                raw.put(UInt64(bitPattern: time))
            } extra: { raw in
                guard publisherBytes > 0 else { return }
                raw.put(Field.publisher.rawValue)
                raw.put(UInt16(publisher.utf8.count))
                raw.put(Array(publisher.utf8))
            }
        case .json:
            var header: [UInt8] = []
            header.reserveCapacity(192 + fragment.topic.count + fragment.encoding.count + content.headers.count)
            let numberName = address.kind == .row ? "query" : "subscription"
            header += "{\"kind\":\"\(address.kind.name)\",\"\(numberName)\":\(address.number)".utf8
            header += ",\"seq\":\(seq),\"time\":\(time)".utf8
            header += ",\"topic\":".utf8
            header += fragment.topic
            header += fragment.encoding
            if content.headers.count > 0 {
                header += ",\"headers\":".utf8
                header += content.headers
            }
            if content.key.count > 0 {
                header += ",\"key\":".utf8
                JSON.writeString(content.key, into: &header)
            }
            if isRetained { header += ",\"retained\":true".utf8 }
            if !publisher.isEmpty {
                header += ",\"publisher\":".utf8
                JSON.writeString(publisher.utf8, into: &header)
            }
            header += ",\"content-length\":\(content.payload.count)}".utf8
            out.writeInteger(UInt16(clamping: header.count))
            out.writeBytes(header)
            out.writeBytes(content.payload)
        }
    }

    /// A `row` that is a JSON object: of `topics` and `status`.
    package static func row(query: UInt32, json: JSON, way: Way, into out: inout ByteBuffer) {
        let content = json.bytes
        switch way {
        case .compact:
            let fixedBytes = 4 + 8 + 8 + 2
            out.writeMultipleIntegers(
                UInt16(Wire.compactPrefixBytes + fixedBytes), Kind.row.rawValue, UInt8(0), UInt32(content.count))
            out.writeMultipleIntegers(query, Seq(0), Microseconds(0), UInt16(0))
        case .json:
            let header = #"{"kind":"row","query":\#(query),"content-type":"application/json","content-length":"#
            let text = header + "\(content.count)}"
            out.writeInteger(UInt16(text.utf8.count))
            out.writeString(text)
        }
        out.writeBytes(content)
    }

    /// A compact `publish`: what the client library sends.
    package static func publish(
        id: UInt64?, level: AckLevel, retain: Bool, ttl: UInt32, fragment: EnvelopeFragment, content: Content,
        into out: inout ByteBuffer
    ) {
        let ttlBytes = ttl > 0 ? Wire.propertyPrefixBytes + 8 : 0
        write(fragment, content, fixedBytes: 8, extraBytes: ttlBytes, into: &out) { raw in
            raw.put(Kind.publish.rawValue)
            var flags = level.rawValue
            if retain { flags |= Wire.PublishFlags.marked }
            if id != nil { flags |= Wire.PublishFlags.hasID }
            raw.put(flags)
            raw.put(UInt32(content.payload.count))
            raw.put(id ?? 0)
        } extra: { raw in
            guard ttl > 0 else { return }
            raw.put(Field.ttl.rawValue)
            raw.put(UInt16(8))
            raw.put(UInt64(ttl))
        }
    }

    /// The bytes that a compact envelope's header needs; beyond 65,535 it cannot be sent.
    package static func compactHeaderBytes(
        fragment: EnvelopeFragment, headers: Int, key: Int, fixedBytes: Int, extraBytes: Int = 0
    ) -> Int {
        Wire.compactPrefixBytes + fixedBytes + 2 + fragment.topic.count + fragment.encoding.count + extraBytes
            + (headers > 0 ? Wire.propertyPrefixBytes + headers : 0) + (key > 0 ? Wire.propertyPrefixBytes + key : 0)
    }

    /// length, prefix and fixed fields (`prefix`), topic, encoding, headers, key, more properties (`extra`), payload:
    /// one reservation, then plain stores.
    private static func write(
        _ fragment: EnvelopeFragment, _ content: Content, fixedBytes: Int, extraBytes: Int = 0,
        into out: inout ByteBuffer, prefix: (inout RawWriter) -> Void, extra: (inout RawWriter) -> Void = { _ in }
    ) {
        let headerBytes = compactHeaderBytes(
            fragment: fragment, headers: content.headers.count, key: content.key.count, fixedBytes: fixedBytes,
            extraBytes: extraBytes)
        let total = Wire.lengthBytes + headerBytes + content.payload.count
        out.writeWithUnsafeMutableBytes(minimumWritableBytes: total) { bytes in
            var raw = RawWriter(bytes: bytes)
            raw.put(UInt16(clamping: headerBytes))
            prefix(&raw)
            raw.put(UInt16(fragment.topic.count))
            raw.put(fragment.topic)
            raw.put(fragment.encoding)
            raw.put(property: .headers, content.headers)
            raw.put(property: .key, content.key)
            extra(&raw)
            raw.put(content.payload)
            return total
        }
    }
}

/// Stores into memory that was reserved for exactly what is written.
struct RawWriter {
    private let bytes: UnsafeMutableRawBufferPointer
    private var offset = 0

    init(bytes: UnsafeMutableRawBufferPointer) { self.bytes = bytes }

    mutating func put(_ value: some FixedWidthInteger & BitwiseCopyable) {
        bytes.storeBytes(of: value.bigEndian, toByteOffset: offset, as: type(of: value))
        offset += value.bitWidth / 8
    }

    mutating func put(_ source: UnsafeRawBufferPointer) {
        UnsafeMutableRawBufferPointer(rebasing: bytes[offset...]).copyMemory(from: source)
        offset += source.count
    }

    mutating func put(_ source: [UInt8]) {
        source.withUnsafeBytes { put($0) }
    }

    mutating func put(property field: Field, _ value: UnsafeRawBufferPointer) {
        guard value.count > 0 else { return }
        put(field.rawValue)
        put(UInt16(value.count))
        put(value)
    }
}
