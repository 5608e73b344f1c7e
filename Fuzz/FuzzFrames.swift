// libFuzzer's target: `scripts/fuzz.sh` builds and runs it. Whatever the bytes are, reading them must not trap, must not
// depend on how they are cut, and what was read must be readable again when it is written.

internal import ApusModel
internal import ApusWire
internal import NIOCore

@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
    _ count: UnsafeMutablePointer<CInt>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>,
    _ body: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt

/// SwiftPM makes the linker take this for `main`, so libFuzzer's own is left out and its driver is called from here.
@_cdecl("apus_fuzz_main")
public func fuzzMain(_ count: CInt, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?) -> CInt {
    var count = count
    var arguments = arguments
    return runDriver(&count, &arguments, fuzzOneInput)
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = Array(UnsafeBufferPointer(start: start, count: count))
    let whole = Reading(bytes, pieceBytes: max(1, bytes.count), settles: true, isInPlace: false)
    // The cuts come from the input too, so that the fuzzer finds the ones that matter.
    let piece = 1 + Int(bytes.last ?? 0) % 37
    let cut = Reading(bytes, pieceBytes: piece, settles: bytes.count.isMultiple(of: 2), isInPlace: true)
    precondition(
        whole.error == cut.error, "another error in pieces of \(piece): \(whole.error ?? "") \(cut.error ?? "")")
    precondition(whole.frames == cut.frames, "other frames in pieces of \(piece)")
    parseJSON(bytes)
    parseModel(bytes)
    return 0
}

/// What came of reading a stream.
private struct Reading {
    var frames: [[UInt8]] = []
    var error: String?

    init(_ bytes: [UInt8], pieceBytes: Int, settles: Bool, isInPlace: Bool) {
        var reader = FrameReader(bounds: .init(headerBytesMax: 65_535, contentBytesMax: 1 << 20))
        do throws(ApusError) {
            for start in stride(from: 0, to: bytes.count, by: pieceBytes) {
                reader.append(ByteBuffer(bytes: bytes[start..<min(start + pieceBytes, bytes.count)]))
                while let frame = try isInPlace ? Reading.nextInPlace(&reader) : reader.next() {
                    frames.append(touch(frame))
                }
                if settles { reader.settle() }
                // Never more than what has arrived, as buffers grow, and never by a length that was announced.
                precondition(reader.bytesHeld <= 8 * bytes.count + 4_096, "\(reader.bytesHeld) bytes are held")
            }
        } catch {
            precondition(error.isFatal, "the reader threw an error that is not fatal: \(error)")
            self.error = error.description
        }
    }
}

extension Reading {
    /// As the broker and the client read: publishes and messages that are whole are read in place.
    static func nextInPlace(_ reader: inout FrameReader) throws(ApusError) -> Frame? {
        var publish = Publish(fields: ByteBuffer(), content: ByteBuffer())
        if try reader.nextPublish(into: &publish) { return .publish(publish) }
        var envelope = Envelope(fields: ByteBuffer(), content: ByteBuffer())
        if try reader.nextMessage(into: &envelope) { return .message(envelope) }
        return try reader.next()
    }
}

/// Looks at everything in a frame, writes it again in both ways, and reads that.
/// - Returns: something that is equal for equal frames.
private func touch(_ frame: Frame) -> [UInt8] {
    var seen: [UInt8] = []
    switch frame {
    case .publish(let publish):
        seen += touch(publish.text, publish.fields, publish.content)
        seen += "\(publish.id) \(publish.hasID) \(publish.level) \(publish.retain) \(publish.ttl)".utf8
        rewrite(publish)
    case .message(let envelope):
        seen += touch(envelope.text, envelope.fields, envelope.content)
        seen += "\(envelope.subscription) \(envelope.seq) \(envelope.time) \(envelope.deliveryCount)".utf8
        if let message = try? envelope.message() {
            seen += Timestamp.text(message.receivedAt).utf8
            rewrite(message, .subscription(envelope.subscription))
        }
    case .row(let row):
        seen += row.content.readableBytesView
        if let message = row.message { rewrite(message, .query(row.query, publisher: String(row.query))) }
    default:
        for way in [Way.json, .compact] {
            var out = ByteBuffer()
            guard FrameWriter.write(frame, way, into: &out) else { continue }
            seen += out.readableBytesView
            expectOneFrame(out)
        }
    }
    return seen
}

private func touch(_ text: EnvelopeText, _ fields: ByteBuffer, _ content: ByteBuffer) -> [UInt8] {
    var seen = Array(content.readableBytesView)
    for slice in [
        text.topic, text.contentType, text.charset, text.contentEncoding, text.byteOrder, text.format, text.headers,
        text.key, text.publisher,
    ] {
        seen += fields.withUnsafeReadableBytes { Array($0[slice.range]) }
        seen += (text.text(slice, in: fields) ?? "nothing").utf8
    }
    if let encoding = try? text.encoding(in: fields) {
        seen += "\(encoding.mediaType ?? "") \(encoding.textCharset ?? "") \(encoding.compression ?? "")".utf8
    }
    if let headers = try? text.headers(in: fields) {
        let again = try? Headers(json: JSONParser.parse(headers.json.text))
        precondition(again == headers, "headers change when they are written and read")
    }
    return seen
}

private func rewrite(_ publish: Publish) {
    let text = publish.text
    guard let topic = try? Topic(text.text(text.topic, in: publish.fields) ?? ""),
        let encoding = try? text.encoding(in: publish.fields), let headers = try? text.headers(in: publish.fields)
    else { return }
    let fragment = EnvelopeFragment(topic: topic, encoding: encoding, way: .compact)
    let json = headers.isEmpty ? [] : headers.json.bytes
    let key = Array((text.text(text.key, in: publish.fields) ?? "").utf8)
    let length = EnvelopeWriter.compactHeaderBytes(
        fragment: fragment, headers: json.count, key: key.count, fixedBytes: 8, extraBytes: 11)
    guard length <= Int(UInt16.max) else { return }
    var out = ByteBuffer()
    withContent(json, key, publish.content) { content in
        EnvelopeWriter.publish(
            id: publish.hasID ? publish.id : nil, level: publish.level, retain: publish.retain, ttl: publish.ttl,
            fragment: fragment, content: content, into: &out)
    }
    expectOneFrame(out)
}

private func rewrite(_ message: Message, _ address: EnvelopeWriter.Address) {
    guard let topic = try? Topic(message.topic) else { return }
    let json = message.headers.isEmpty ? [] : message.headers.json.bytes
    let key = Array((message.key ?? "").utf8)
    // The broker's own bound, by which every header that it writes fits (a byte becomes six at most).
    guard (topic.bytes.count + key.count + 5 * Encoding.fieldBytesMax) * 6 + json.count <= 60_000 else { return }
    for way in [Way.json, .compact] {
        var out = ByteBuffer()
        withContent(json, key, message.payload) { content in
            EnvelopeWriter.message(
                address, seq: message.seq, time: message.receivedAt, isRetained: message.isRetained,
                fragment: EnvelopeFragment(topic: topic, encoding: message.encoding, way: way), content: content,
                way: way, into: &out)
        }
        expectOneFrame(out)
    }
}

private func withContent(
    _ headers: [UInt8], _ key: [UInt8], _ payload: ByteBuffer, _ body: (EnvelopeWriter.Content) -> Void
) {
    headers.withUnsafeBytes { headers in
        key.withUnsafeBytes { key in
            payload.withUnsafeReadableBytes { payload in
                body(EnvelopeWriter.Content(headers: headers, key: key, payload: payload))
            }
        }
    }
}

/// What Apus writes, Apus reads: one frame, and nothing is left of it.
private func expectOneFrame(_ bytes: ByteBuffer) {
    var reader = FrameReader(bounds: .init(headerBytesMax: 65_535, contentBytesMax: 1 << 20))
    reader.append(bytes)
    do throws(ApusError) {
        guard try reader.next() != nil, !reader.isInsideFrame else {
            preconditionFailure("what was written is not one frame")
        }
    } catch {
        preconditionFailure("what was written cannot be read: \(error)")
    }
}

private func parseJSON(_ bytes: [UInt8]) {
    bytes.withUnsafeBytes { bytes in
        guard let value = try? JSONParser.parse(bytes) else { return }
        let again = try? JSONParser.parse(value.text)
        // A fraction may be written with other digits, but what was written stays as it is.
        precondition(again?.text == value.text, "JSON changes when it is written and read")
        _ = try? Headers(json: value)
    }
}

private func parseModel(_ bytes: [UInt8]) {
    let text = String(decoding: bytes, as: UTF8.self)
    if let time = Timestamp.parse(text) { precondition(Timestamp.parse(Timestamp.text(time)) == time) }
    if let duration = Timestamp.parseDuration(text) { precondition(duration >= 0) }
    let parts = bytes.split(separator: 0, maxSplits: 1)
    guard parts.count == 2, let filter = try? TopicFilter(String(decoding: parts[0], as: UTF8.self)),
        let topic = try? Topic(validating: Array(parts[1]))
    else { return }
    if filter.matches(topic), let exact = filter.exactTopic { precondition(exact == topic.bytes) }
}
