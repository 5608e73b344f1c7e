// Station 2, decoder. Runs on the connection's event loop. In: bytes as they arrive. Out: frames, whose content is a
// slice of what arrived. Bounded by the limits on header and message, checked before anything is kept for them.

package import ApusModel
package import NIOCore

/// Cuts a stream of bytes into frames. A value without I/O; `nil` means "more bytes are needed".
///
/// An error thrown here is fatal: the stream cannot be read any further. A fault inside a well-delimited frame comes
/// as ``Frame/invalid(_:)`` instead.
package struct FrameReader {
    /// The most that one frame may have, in bytes.
    package struct Bounds: Sendable {
        package var headerBytesMax: Int
        package var contentBytesMax: Int

        package init(headerBytesMax: Int, contentBytesMax: Int) {
            self.headerBytesMax = headerBytesMax
            self.contentBytesMax = contentBytesMax
        }
    }

    /// A header that was read while its content is still on its way. Kept, so that a header is parsed once however
    /// slowly its content comes.
    private struct Waiting {
        var header: ParsedHeader
        var headerBytes: Int
        var contentBytes: Int
    }

    private let bounds: Bounds
    var buffer = ByteBuffer()
    private var waiting: Waiting?
    /// Whole frames read so far.
    package internal(set) var framesRead: UInt64 = 0
    /// The way of the last header read.
    package internal(set) var way = Way.json

    package init(bounds: Bounds) { self.bounds = bounds }

    /// Bytes of an incomplete frame: the storage allocated for them. 0 between frames. Exact after ``settle()``.
    package var bytesHeld: Int {
        let header = waiting.map { max($0.header.bytesHeld, $0.headerBytes) } ?? 0
        return header + (buffer.readableBytes == 0 ? 0 : buffer.storageCapacity)
    }

    /// Whether a frame has begun and not ended.
    package var isInsideFrame: Bool { buffer.readableBytes > 0 || waiting != nil }

    /// Bytes that were not read yet.
    package var bytesLeft: Int { buffer.readableBytes }

    package mutating func append(_ bytes: ByteBuffer) {
        if buffer.readableBytes == 0 {
            buffer = bytes
        } else {
            buffer.writeImmutableBuffer(bytes)
        }
    }

    /// The next whole frame, or nil.
    package mutating func next() throws(ApusError) -> Frame? {
        if waiting == nil {
            guard let header = try nextHeader() else { return nil }
            waiting = header
        }
        guard let header = waiting, let content = buffer.readSlice(length: header.contentBytes) else { return nil }
        waiting = nil
        framesRead &+= 1
        return header.header.frame(content: content)
    }

    /// Whether the next frame is a publish, as soon as its header has come.
    package mutating func isAtPublish() throws(ApusError) -> Bool {
        if wholeCompactFrame(.publish) != nil { return true }
        if waiting == nil { waiting = try nextHeader() }
        return waiting?.header.isPublish ?? false
    }

    /// To be called at the end of a read turn: lets go of a large receive buffer that a small rest would pin.
    package mutating func settle() {
        waiting?.header.settle()
        if buffer.readableBytes == 0 {
            buffer = ByteBuffer()
        } else if buffer.readableBytes < buffer.storageCapacity / 4 || buffer.readerIndex > buffer.readableBytes {
            // `ByteBuffer(buffer:)` would share the storage; writing copies.
            var rest = ByteBuffer()
            rest.writeImmutableBuffer(buffer)
            buffer = rest
        }
    }

    /// The lengths of the next frame, where all of it is there, it is a compact one of this kind, and within bounds.
    /// Everything else, faults included, is for ``next()``.
    func wholeCompactFrame(_ kind: Kind) -> (headerBytes: Int, contentBytes: Int)? {
        guard waiting == nil else { return nil }
        return buffer.withUnsafeReadableBytes { bytes in
            let start = Wire.lengthBytes
            guard bytes.count >= start + Wire.compactPrefixBytes, bytes[start] == kind.rawValue else { return nil }
            let header = Int(UInt16(bigEndian: bytes.loadUnaligned(as: UInt16.self)))
            let content = Int(UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: start + 2, as: UInt32.self)))
            guard header >= Wire.compactPrefixBytes, header <= bounds.headerBytesMax,
                content <= bounds.contentBytesMax, bytes.count - start - header >= content
            else { return nil }
            return (header, content)
        }
    }

    private mutating func nextHeader() throws(ApusError) -> Waiting? {
        let readable = buffer.readableBytes
        guard readable > 0 else { return nil }
        let length: Int
        if let word = buffer.getInteger(at: buffer.readerIndex, as: UInt16.self) {
            length = Int(word)
        } else {
            return nil
        }
        guard length > 0 else { throw .fatal(.malformedFrame, "a frame with an empty header") }
        guard length <= bounds.headerBytesMax else {
            throw .fatal(
                .headerTooLarge, "a header of \(length) bytes, the limit max-header-bytes is \(bounds.headerBytesMax)",
                hint: FrameReader.startHint)
        }
        guard readable > Wire.lengthBytes else { return nil }
        try checkFirstByte()
        try checkCompactContent(headerLength: length)
        guard readable >= Wire.lengthBytes + length else { return nil }
        buffer.moveReaderIndex(forwardBy: Wire.lengthBytes)
        guard let header = buffer.readSlice(length: length) else { return nil }
        let parsed: ParsedHeader
        if header.getInteger(at: header.readerIndex, as: UInt8.self) == UInt8(ascii: "{") {
            way = .json
            parsed = try ParsedHeader(json: header)
        } else {
            way = .compact
            parsed = try ParsedHeader(compact: header)
        }
        try check(contentBytes: parsed.contentBytes)
        return Waiting(header: parsed, headerBytes: length, contentBytes: Int(parsed.contentBytes))
    }

    private static let startHint =
        "A frame begins with its header's length as two bytes, big-endian; then comes the header."

    /// Tells a stranger (a browser, a scanner) at once, instead of waiting for the header it seems to announce.
    private func checkFirstByte() throws(ApusError) {
        guard let first = buffer.getInteger(at: buffer.readerIndex + Wire.lengthBytes, as: UInt8.self) else { return }
        guard first == UInt8(ascii: "{") || (0x01...0x1F).contains(first) else {
            throw .fatal(
                .malformedFrame, "a header that begins with byte \(first), neither '{' nor a kind",
                hint: FrameReader.startHint)
        }
    }

    /// A compact header says early how long its content is: it is checked as soon as it can be read.
    private func checkCompactContent(headerLength: Int) throws(ApusError) {
        let start = buffer.readerIndex + Wire.lengthBytes
        guard let kind = buffer.getInteger(at: start, as: UInt8.self), kind < 0x20 else { return }
        guard headerLength >= Wire.compactPrefixBytes else {
            throw .fatal(.malformedHeader, "a compact header of \(headerLength) bytes")
        }
        guard let content = buffer.getInteger(at: start + 2, as: UInt32.self) else { return }
        try check(contentBytes: UInt64(content))
    }

    private func check(contentBytes: UInt64) throws(ApusError) {
        guard contentBytes <= UInt64(bounds.contentBytesMax) else {
            throw .fatal(
                .messageTooLarge,
                "a content of \(contentBytes) bytes, the limit max-message-bytes is \(bounds.contentBytesMax)",
                hint: "Send it in parts, or raise the limit at the broker.")
        }
    }
}
