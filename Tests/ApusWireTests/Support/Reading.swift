import ApusModel
import ApusWire
import NIOCore

/// What came of reading a stream: frames, and the error that ended it.
struct Reading: Equatable, CustomStringConvertible {
    var frames: [String] = []
    var error: String?
    /// Bytes that belong to a frame which did not end.
    var isInsideFrame = false

    var description: String { "\(frames) \(error ?? "no error")\(isInsideFrame ? ", inside a frame" : "")" }

    static func == (a: Reading, b: Reading) -> Bool {
        a.isInsideFrame == b.isInsideFrame && a.error == b.error
            && a.frames.map { Array($0.utf8) } == b.frames.map { Array($0.utf8) }
    }
}

extension FrameReader {
    init(_ bounds: TestBounds = .test) {
        self.init(bounds: .init(headerBytesMax: bounds.header, contentBytesMax: bounds.content))
    }
}

extension FrameReader {
    /// The next frame as the broker and the client read it: publishes and messages that are whole are read in place.
    mutating func nextInPlace() throws(ApusError) -> Frame? {
        var publish = Publish(fields: ByteBuffer(), content: ByteBuffer())
        // What a frame does not say must not stay from the one before.
        publish.ttl = 99
        publish.text.key = Slice(offset: 0, length: 1)
        if try nextPublish(into: &publish) { return .publish(publish) }
        var envelope = Envelope(fields: ByteBuffer(), content: ByteBuffer())
        envelope.deliveryCount = 99
        envelope.isRetained = true
        if try nextMessage(into: &envelope) { return .message(envelope) }
        return try next()
    }
}

/// Reads what arrives in these pieces, a read turn each.
func read(
    _ pieces: [ArraySlice<UInt8>], bounds: TestBounds = .test, settles: Bool = true, isInPlace: Bool = false
) -> Reading {
    var reader = FrameReader(bounds)
    var reading = Reading()
    do throws(ApusError) {
        for piece in pieces {
            reader.append(ByteBuffer(bytes: piece))
            while let frame = isInPlace ? try reader.nextInPlace() : try reader.next() {
                reading.frames.append(describe(frame).sorted)
            }
            if settles { reader.settle() }
        }
        reading.isInsideFrame = reader.isInsideFrame
    } catch {
        reading.error = "\(error.code.rawValue): \(error.message)"
    }
    return reading
}

func read(_ bytes: [UInt8], bounds: TestBounds = .test) -> Reading { read([bytes[...]], bounds: bounds) }

/// The frames in these bytes.
func frames(_ bytes: [UInt8]) throws(ApusError) -> [Frame] {
    var reader = FrameReader()
    reader.append(ByteBuffer(bytes: bytes))
    var frames: [Frame] = []
    while let frame = try reader.next() { frames.append(frame) }
    return frames
}

/// The one error that these bytes end with.
func fatalError(_ bytes: [UInt8], bounds: TestBounds = .test) -> ApusError? {
    var reader = FrameReader(bounds)
    reader.append(ByteBuffer(bytes: bytes))
    do throws(ApusError) {
        while try reader.next() != nil {}
        return nil
    } catch {
        return error
    }
}
