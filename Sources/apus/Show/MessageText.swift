internal import ApusModel
internal import NIOCore

/// A message's payload as `sub` shows it: text decoded, and safe for where it goes.
///
/// On a terminal, control characters are shown and binary payloads are summed up. Elsewhere text is plain UTF-8, and a
/// binary payload is its bytes as stored.
struct MessageText {
    let reader: PayloadReader
    let isTerminal: Bool

    /// What was wrong with a payload, in a few words; nil where nothing was.
    typealias Flaw = String

    @discardableResult
    func append(_ message: Message, to out: inout [UInt8], newlines: TerminalText.Newlines = .kept) -> Flaw? {
        switch reader.read(message.payload, message.encoding) {
        case .text(let text):
            let flaw = flaw(of: text)
            if isTerminal {
                TerminalText.append(text.withoutMark, to: &out, newlines: newlines)
                if let flaw { out += " [\(flaw)]".utf8 }
            } else {
                out += text.withoutMark
            }
            return flaw
        case .binary(let reason):
            if isTerminal {
                summary(message, reason, to: &out)
            } else {
                out.append(contentsOf: message.payload.readableBytesView)
            }
            return reason
        }
    }

    private func flaw(of text: DecodedText) -> Flaw? {
        if text.isMalformed { return "not well-formed \(text.charset)" }
        return text.isCut ? "cut, there is more" : nil
    }

    /// `<21 bytes image/png: 89504e470d0a1a0a…>`
    func summary(_ message: Message, _ reason: String?, to out: inout [UInt8]) {
        let bytes = message.payload.readableBytesView
        out += "<\(bytes.count) \(bytes.count == 1 ? "byte" : "bytes")".utf8
        let encoding = message.encoding
        for word in [encoding.contentType, encoding.contentEncoding, encoding.format] {
            guard let word else { continue }
            out.append(UInt8(ascii: " "))
            TerminalText.append(Array(word.utf8), to: &out, newlines: .shown)
        }
        if let reason {
            out += ", ".utf8
            TerminalText.append(Array(reason.utf8), to: &out, newlines: .shown)
        }
        if !bytes.isEmpty {
            out += ": ".utf8
            HexDump.appendPrefix(bytes, count: 16, to: &out)
        }
        out.append(UInt8(ascii: ">"))
    }

    /// A topic, a key: text of strangers beside the payload.
    func appendName(_ name: String, to out: inout [UInt8]) {
        if isTerminal {
            TerminalText.append(Array(name.utf8), to: &out, newlines: .shown)
        } else {
            out += name.utf8
        }
    }
}
