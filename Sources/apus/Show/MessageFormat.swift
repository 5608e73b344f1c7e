internal import ApusModel
internal import NIOCore

/// A `printf`-like format for messages: `"%q %t %s\n"`.
struct MessageFormat: Equatable {
    enum Part: Equatable {
        case literal([UInt8])
        case topic, text, payload, seq, time, headers, contentType, charset, key, size, json
    }

    static let help = """
        FORMAT
          %t topic      %q seq         %d time (RFC 3339, UTC)   %k key
          %s text       %p payload as stored                     %l its bytes
          %c content type              %e charset                %h headers as JSON
          %j all of it as JSON         %% a percent sign
          \\n newline   \\t tab   \\0 NUL   \\\\ backslash. No newline is added.
        """

    let parts: [Part]

    /// - Throws: `usage`, naming what is not known.
    init(_ text: String) throws(ApusError) {
        var parts: [Part] = []
        var literal: [UInt8] = []
        var rest = text.unicodeScalars[...]
        while let scalar = rest.popFirst() {
            switch scalar {
            case "%":
                guard let part = try Self.part(rest.popFirst()) else {
                    literal.append(UInt8(ascii: "%"))
                    continue
                }
                if !literal.isEmpty { parts.append(.literal(literal)) }
                literal = []
                parts.append(part)
            case "\\": literal.append(try Self.escape(rest.popFirst()))
            default: literal += String(scalar).utf8
            }
        }
        if !literal.isEmpty { parts.append(.literal(literal)) }
        self.parts = parts
    }

    /// - Returns: nil for a percent sign.
    private static func part(_ scalar: Unicode.Scalar?) throws(ApusError) -> Part? {
        switch scalar {
        case "%": return nil
        case "t": return .topic
        case "s": return .text
        case "p": return .payload
        case "q": return .seq
        case "d": return .time
        case "h": return .headers
        case "c": return .contentType
        case "e": return .charset
        case "k": return .key
        case "l": return .size
        case "j": return .json
        default:
            let what = scalar.map { "%\($0)" } ?? "a % at its end"
            throw ApusError(.usage, "the format has \(what)", hint: "Known: %t %s %p %q %d %h %c %e %k %l %j %%")
        }
    }

    private static func escape(_ scalar: Unicode.Scalar?) throws(ApusError) -> UInt8 {
        switch scalar {
        case "n": return 0x0A
        case "t": return 0x09
        case "r": return 0x0D
        case "e": return 0x1B
        case "0": return 0
        case "\\": return UInt8(ascii: "\\")
        default:
            let what = scalar.map { "\\\($0)" } ?? "a backslash at its end"
            throw ApusError(.usage, "the format has \(what)", hint: "Known: \\n \\t \\r \\e \\0 \\\\")
        }
    }

    @discardableResult
    func append(_ message: Message, with text: MessageText, to out: inout [UInt8]) -> MessageText.Flaw? {
        var flaw: MessageText.Flaw?
        for part in parts {
            switch part {
            case .literal(let bytes): out += bytes
            case .topic: text.appendName(message.topic, to: &out)
            case .text: flaw = text.append(message, to: &out) ?? flaw
            case .payload: out.append(contentsOf: message.payload.readableBytesView)
            case .seq: out += String(message.seq).utf8
            case .time: out += Timestamp.text(message.receivedAt).utf8
            case .headers: text.appendName(message.headers.json.text, to: &out)
            case .contentType: text.appendName(message.encoding.contentType ?? "", to: &out)
            case .charset: text.appendName(message.encoding.textCharset ?? "", to: &out)
            case .key: text.appendName(message.key ?? "", to: &out)
            case .size: out += String(message.payload.readableBytes).utf8
            case .json:
                MessageJSON(reader: text.reader).append(message, to: &out)
                _ = out.popLast()
            }
        }
        return flaw
    }
}
