internal import ApusModel
internal import NIOCore

/// Messages as the table that `history` shows.
struct MessageTable {
    /// Of a payload's text, where the terminal does not say.
    private static let previewColumns = 240
    private static let previewBytes = 4_096

    private let text: MessageText
    private var table: Table

    init(width: Int?) {
        text = MessageText(reader: PayloadReader(bytesMax: Self.previewBytes), isTerminal: true)
        table = Table(
            [
                .init(title: "SEQ", alignment: .right), .init(title: "TIME"),
                .init(title: "TOPIC", cutRank: 3, columnsMin: 12), .init(title: "SIZE", alignment: .right),
                .init(title: "TYPE", cutRank: 2, columnsMin: 10), .init(title: "TEXT", cutRank: 1, columnsMin: 20),
            ], width: width)
    }

    mutating func append(_ message: Message, to out: inout [UInt8]) {
        table.append(
            [
                String(message.seq), Self.time(message.receivedAt), TerminalText.escaped(message.topic),
                ByteCount.text(message.payload.readableBytes), Self.type(message.encoding), preview(message),
            ], to: &out)
    }

    mutating func finish(to out: inout [UInt8]) { table.finish(to: &out) }

    /// To the millisecond: what a table has room for.
    private static func time(_ time: Microseconds) -> String {
        Timestamp.text(time).dropLast(4) + "Z"
    }

    private static func type(_ encoding: Encoding) -> String {
        var words = [encoding.mediaType ?? "-"]
        if let charset = encoding.textCharset, charset != "utf-8" { words.append(charset) }
        if let compression = encoding.compression { words.append(compression) }
        return TerminalText.escaped(words.joined(separator: " "))
    }

    private func preview(_ message: Message) -> String {
        var out: [UInt8] = []
        switch text.reader.read(message.payload, message.encoding) {
        case .text(let decoded): TerminalText.append(decoded.withoutMark, to: &out, newlines: .shown)
        case .binary(let reason): text.summary(message, reason, to: &out)
        }
        return TextWidth.cut(String(decoding: out, as: UTF8.self), to: Self.previewColumns)
    }
}
