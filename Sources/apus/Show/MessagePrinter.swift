internal import ApusModel
internal import NIOCore

/// The forms in which `sub` shows a message.
enum MessageStyle: Equatable, Sendable {
    case line(withTopic: Bool)
    case format(MessageFormat)
    case hex(withTopic: Bool)
    case json
    case raw
}

/// Shows messages one after the other.
struct MessagePrinter {
    private let style: MessageStyle
    private let output: Output
    private let console: Console
    private let text: MessageText
    private let json: MessageJSON
    private var hasToldFlaw = false

    init(style: MessageStyle, output: Output, console: Console) {
        self.style = style
        self.output = output
        self.console = console
        text = MessageText(reader: PayloadReader(), isTerminal: output.isTerminal)
        json = MessageJSON(reader: text.reader)
    }

    mutating func print(_ message: Message) {
        var flaw: MessageText.Flaw?
        if style == .json {
            output.writeJSON { json.append(message, to: &$0) }
            return
        }
        output.write { flaw = append(message, to: &$0) }
        // On a terminal it stands beside the text.
        guard let flaw, !text.isTerminal, !hasToldFlaw else { return }
        hasToldFlaw = true
        console.note("seq \(message.seq): \(flaw) (told once)")
    }

    private func append(_ message: Message, to out: inout [UInt8]) -> MessageText.Flaw? {
        switch style {
        case .line(let withTopic):
            if withTopic { appendTopic(message, " ", to: &out) }
            let flaw = text.append(message, to: &out)
            out.append(UInt8(ascii: "\n"))
            return flaw
        case .format(let format):
            return format.append(message, with: text, to: &out)
        case .hex(let withTopic):
            if withTopic { appendTopic(message, "\n", to: &out) }
            HexDump.append(message.payload.readableBytesView, to: &out)
            return nil
        case .json:
            json.append(message, to: &out)
            return nil
        case .raw:
            out.append(contentsOf: message.payload.readableBytesView)
            return nil
        }
    }

    private func appendTopic(_ message: Message, _ end: String, to out: inout [UInt8]) {
        text.appendName(message.topic, to: &out)
        out += end.utf8
    }
}
