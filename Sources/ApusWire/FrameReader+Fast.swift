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
        guard let (headerBytes, contentBytes) = wholeCompactFrame(.publish) else { return false }
        buffer.moveReaderIndex(forwardBy: Wire.lengthBytes)
        guard let fields = buffer.readSlice(length: headerBytes), let content = buffer.readSlice(length: contentBytes)
        else { return false }
        way = .compact
        publish.fields = fields
        publish.content = content
        try fields.withBytes { bytes throws(ApusError) in
            var reader = CompactReader(bytes: bytes)
            _ = try reader.u8()
            let flags = try reader.u8()
            _ = try reader.u32()
            try reader.publish(flags: flags, into: &publish)
        }
        return true
    }

    /// Reads the next frame, where it is a whole compact `message`.
    ///
    /// - Parameter envelope: set where the result is true; one value serves for all.
    /// - Returns: false where it is anything else, which ``next()`` tells.
    package mutating func nextMessage(into envelope: inout Envelope) throws(ApusError) -> Bool {
        guard let (headerBytes, contentBytes) = wholeCompactFrame(.message) else { return false }
        buffer.moveReaderIndex(forwardBy: Wire.lengthBytes)
        guard let fields = buffer.readSlice(length: headerBytes), let content = buffer.readSlice(length: contentBytes)
        else { return false }
        way = .compact
        envelope.fields = fields
        envelope.content = content
        try fields.withBytes { bytes throws(ApusError) in
            var reader = CompactReader(bytes: bytes)
            _ = try reader.u8()
            let flags = try reader.u8()
            _ = try reader.u32()
            try reader.message(flags: flags, into: &envelope)
        }
        return true
    }
}
