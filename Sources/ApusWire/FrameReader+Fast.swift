package import ApusModel
internal import NIOCore

// The two kinds that come by the million are read in place: a frame passed on as a value is copied at each hand-over,
// and those copies were a quarter of the event loop's time.
extension FrameReader {
    /// Reads the next frame, where it is a whole compact `publish`.
    ///
    /// - Parameter publish: set where the result is true; one value serves for all.
    /// - Returns: false where it is anything else, which ``next()`` tells.
    package mutating func nextPublish(into publish: inout Publish) throws(ApusError) -> Bool {
        guard let (fields, content) = takeCompactFrame(.publish) else { return false }
        publish.fields = fields
        publish.content = content
        try fields.withBytes { bytes throws(ApusError) in
            var reader = CompactReader(bytes: bytes)
            let flags = try reader.prefix().flags
            try reader.publish(flags: flags, into: &publish)
        }
        return true
    }

    /// Reads the next frame, where it is a whole compact `message`.
    ///
    /// - Parameter envelope: set where the result is true; one value serves for all.
    /// - Returns: false where it is anything else, which ``next()`` tells.
    package mutating func nextMessage(into envelope: inout Envelope) throws(ApusError) -> Bool {
        guard let (fields, content) = takeCompactFrame(.message) else { return false }
        envelope.fields = fields
        envelope.content = content
        try fields.withBytes { bytes throws(ApusError) in
            var reader = CompactReader(bytes: bytes)
            let flags = try reader.prefix().flags
            try reader.message(flags: flags, into: &envelope)
        }
        return true
    }

    private mutating func takeCompactFrame(_ kind: Kind) -> (fields: ByteBuffer, content: ByteBuffer)? {
        guard let (headerBytes, contentBytes) = wholeCompactFrame(kind) else { return nil }
        buffer.moveReaderIndex(forwardBy: Wire.lengthBytes)
        guard let fields = buffer.readSlice(length: headerBytes), let content = buffer.readSlice(length: contentBytes)
        else { return nil }
        way = .compact
        framesRead &+= 1
        return (fields, content)
    }
}
