import ApusModel
import ApusWire
import NIOCore

/// The frame written again; nil for a publish as JSON, which only clients without our library write.
func rewrite(_ frame: Frame, _ way: Way) throws(ApusError) -> [UInt8]? {
    var out = ByteBuffer()
    switch frame {
    case .publish(let publish):
        guard way == .compact else { return nil }
        let fragment = try fragment(publish.text, publish.fields, way)
        withContent(publish.text, publish.fields, publish.content) { content in
            EnvelopeWriter.publish(
                id: publish.hasID ? publish.id : nil, level: publish.level, retain: publish.retain, ttl: publish.ttl,
                fragment: fragment, content: content, into: &out)
        }
    case .message(let envelope):
        let fragment = try fragment(envelope.text, envelope.fields, way)
        withContent(envelope.text, envelope.fields, envelope.content) { content in
            EnvelopeWriter.message(
                .subscription(envelope.subscription), seq: envelope.seq, time: envelope.time,
                isRetained: envelope.isRetained, fragment: fragment, content: content, way: way, into: &out)
        }
    case .row(let row):
        guard let message = row.message else {
            EnvelopeWriter.row(
                query: row.query, json: try JSONParser.parse(String(buffer: row.content)), way: way, into: &out)
            break
        }
        let headers = message.headers.isEmpty ? [] : message.headers.json.bytes
        let fragment = EnvelopeFragment(topic: try Topic(message.topic), encoding: message.encoding, way: way)
        withBytes(headers, Array((message.key ?? "").utf8), Array(row.content.readableBytesView)) { content in
            EnvelopeWriter.message(
                .query(row.query, publisher: message.publisher ?? ""), seq: message.seq, time: message.receivedAt,
                isRetained: message.isRetained, fragment: fragment, content: content, way: way, into: &out)
        }
    default:
        guard FrameWriter.write(frame, way, into: &out) else { return nil }
    }
    return Array(out.readableBytesView)
}

private func fragment(_ text: EnvelopeText, _ fields: ByteBuffer, _ way: Way) throws(ApusError) -> EnvelopeFragment {
    EnvelopeFragment(
        topic: try Topic(text.text(text.topic, in: fields) ?? ""), encoding: try text.encoding(in: fields), way: way)
}

private func withContent(
    _ text: EnvelopeText, _ fields: ByteBuffer, _ payload: ByteBuffer, _ body: (EnvelopeWriter.Content) -> Void
) {
    withBytes(
        Array((text.text(text.headers, in: fields) ?? "").utf8), Array((text.text(text.key, in: fields) ?? "").utf8),
        Array(payload.readableBytesView), body)
}

func withBytes(
    _ headers: [UInt8], _ key: [UInt8], _ payload: [UInt8], _ body: (EnvelopeWriter.Content) -> Void
) {
    headers.withUnsafeBytes { headers in
        key.withUnsafeBytes { key in
            payload.withUnsafeBytes { payload in
                body(EnvelopeWriter.Content(headers: headers, key: key, payload: payload))
            }
        }
    }
}
