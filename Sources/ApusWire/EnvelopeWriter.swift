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

    /// A `message`.
    package static func message(
        subscription: UInt32, seq: Seq, time: Microseconds, isRetained: Bool, fragment: EnvelopeFragment,
        content: Content, way: Way, into out: inout ByteBuffer
    ) {
        switch way {
        case .compact:
            write(fragment, content, fixedBytes: 20, into: &out) { raw in
                raw.put(Kind.message.rawValue)
                raw.put(isRetained ? Wire.MessageFlags.retained : UInt8(0))
                raw.put(UInt32(content.payload.count))
                raw.put(subscription)
                raw.put(seq)
                raw.put(UInt64(bitPattern: time))
            }
        case .json:
            var header: [UInt8] = []
            header.reserveCapacity(192 + fragment.topic.count + fragment.encoding.count + content.headers.count)
            header += "{\"kind\":\"message\",\"subscription\":\(subscription),\"seq\":\(seq),\"time\":\(time)".utf8
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
            header += ",\"content-length\":\(content.payload.count)}".utf8
            out.writeInteger(UInt16(clamping: header.count))
            out.writeBytes(header)
            out.writeBytes(content.payload)
        }
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
