import ApusModel
import NIOCore
import Testing

@testable import apus

@Suite("Nothing garbles a terminal")
struct TerminalTextTests {
    private func shown(_ text: String, _ newlines: TerminalText.Newlines = .kept) -> String {
        TerminalText.escaped(text, newlines: newlines)
    }

    @Test("Control characters, C1 controls and reversals of the reading order are shown, not sent")
    func escapes() {
        #expect(shown("\u{1B}[31mred\u{7}") == "\\x1b[31mred\\x07")
        #expect(shown("\u{9B}2J") == "\\u{9b}2J")
        #expect(shown("a\u{202E}b") == "a\\u{202e}b")
        #expect(shown("\u{7F}\u{0}\r") == "\\x7f\\x00\\r")
    }

    @Test("JSON on a terminal says the same in escapes")
    func json() throws {
        let line = JSON.string("a\u{9B}b\u{202E}ü").bytes
        let shown = TerminalText.json(line)
        #expect(String(decoding: shown, as: UTF8.self) == #""a\u009bb\u202eü""#)
        #expect(try JSONParser.parse(String(decoding: shown, as: UTF8.self)) == .string("a\u{9B}b\u{202E}ü"))
    }

    @Test("Newlines and tabs go through, or are shown where a line must stay a line")
    func newlines() {
        #expect(shown("a\r\nb\tc\n") == "a\nb\tc\n")
        #expect(shown("a\nb\tc", .shown) == "a\\nb\\tc")
    }

    @Test(
        "Letters of all scripts, combining marks and emoji are left alone",
        arguments: ["grüße", "こんにちは", "e\u{301}", "👩‍👩‍👧"])
    func untouched(text: String) {
        #expect(shown(text) == text)
    }
}

@Suite("Widths on a terminal")
struct TextWidthTests {
    @Test("Wide characters take two columns, combining ones none")
    func widths() {
        #expect(TextWidth.of("abc") == 3)
        #expect(TextWidth.of("日本") == 4)
        #expect(TextWidth.of("e\u{301}") == 1)
        #expect(TextWidth.of("한글") == 4)
        #expect(TextWidth.of("🎉") == 2)
        #expect(TextWidth.of("ü…") == 2)
    }

    @Test("A text is cut to fit, with an ellipsis, never through a wide character")
    func cut() {
        #expect(TextWidth.cut("abcdef", to: 4) == "abc…")
        #expect(TextWidth.cut("abcd", to: 4) == "abcd")
        #expect(TextWidth.cut("日本語", to: 4) == "日…")
        #expect(TextWidth.cut("abc", to: 0) == "")
    }
}

@Suite("Tables")
struct TableTests {
    private func table(_ rows: [[String]], width: Int?) -> String {
        var table = Table(
            [
                .init(title: "N", alignment: .right), .init(title: "NAME", cutRank: 2, columnsMin: 4),
                .init(title: "TEXT", cutRank: 1, columnsMin: 5),
            ], width: width)
        return Samples.text { out in
            for row in rows { table.append(row, to: &out) }
            table.finish(to: &out)
        }
    }

    @Test("Columns are as wide as what is in them, and nothing trails")
    func natural() {
        #expect(
            table([["1", "a", "x"], ["20", "bcdef", ""]], width: nil) == " N  NAME   TEXT\n 1  a      x\n20  bcdef\n")
    }

    @Test("On a narrow terminal the text gives way first, then the name")
    func narrow() {
        let rows = [["1", "abcdefgh", "0123456789"]]
        #expect(table(rows, width: 19) == "N  NAME      TEXT\n1  abcdefgh  01234…\n")
        #expect(table(rows, width: 15) == "N  NAME   TEXT\n1  abcd…  0123…\n")
    }

    @Test("Without a row there is no table")
    func empty() {
        #expect(table([], width: nil) == "")
    }
}

@Suite("A message as JSON, CSV, hex and text")
struct MessageFormsTests {
    private let reader = PayloadReader()

    private func json(_ message: Message) -> String {
        Samples.text { MessageJSON(reader: reader).append(message, to: &$0) }
    }

    private func csv(_ message: Message) -> String {
        Samples.text { MessageCSV(reader: reader).append(message, to: &$0) }
    }

    private func line(_ message: Message, isTerminal: Bool) -> String {
        Samples.text { _ = MessageText(reader: reader, isTerminal: isTerminal).append(message, to: &$0) }
    }

    @Test("JSON has everything that is known, and the payload as text")
    func jsonText() throws {
        let encoding = try Encoding(contentType: "text/plain", charset: "iso-8859-1", byteOrder: "big", format: "f")
        let message = Samples.message(
            bytes: [0x67, 0xFC], encoding: encoding, headers: ["a": "1"], key: "k", publisher: "p")
        #expect(
            json(message)
                == #"{"seq":42,"time":"2025-11-23T08:15:00.123456Z","topic":"a/b","content-type":"text/plain","charset":"iso-8859-1","byte-order":"big","format":"f","key":"k","publisher":"p","headers":{"a":"1"},"size":2,"text":"gü"}"#
                + "\n")
    }

    @Test("JSON has bytes that are not text as base64, and so what is not well-formed")
    func jsonBase64() throws {
        #expect(json(Samples.message(bytes: [0, 1, 2, 255])).contains(#""size":4,"base64":"AAEC/w=="}"#))
        let malformed = Samples.message(bytes: [0xFF], encoding: try Encoding(charset: "utf-8"))
        #expect(json(malformed).contains(#""malformed":true,"base64":"/w=="}"#))
    }

    @Test(
        "Base64 has the padding of RFC 4648",
        arguments: [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")])
    func base64(text: String, expected: String) {
        #expect(Samples.text { out in Array(text.utf8).withUnsafeBytes { Base64.append($0, to: &out) } } == expected)
    }

    @Test("CSV quotes what RFC 4180 asks to, ends lines with CRLF, and has as many fields as names")
    func csvQuotes() {
        let message = Samples.message("say \"hi\",\nyou", topic: "a,b", headers: ["k": "v"])
        #expect(
            csv(message)
                == "42,2025-11-23T08:15:00.123456Z,\"a,b\",,,,,,,,\"{\"\"k\"\":\"\"v\"\"}\",13,\"say \"\"hi\"\",\nyou\",\r\n"
        )
        #expect(
            csv(Samples.message()).split(separator: ",", omittingEmptySubsequences: false).count
                == MessageCSV.names.count)
        #expect(csv(Samples.message(bytes: [0xFF])).hasSuffix(",1,,/w==\r\n"))
    }

    @Test("A hex dump looks like xxd's")
    func hex() {
        let dump = Samples.text { HexDump.append(Array("Hello, world 12\n!".utf8), to: &$0) }
        #expect(
            dump == """
                00000000: 4865 6c6c 6f2c 2077 6f72 6c64 2031 320a  Hello, world 12.
                00000010: 21                                       !

                """)
    }

    @Test("On a terminal, bytes are summed up; elsewhere they are themselves")
    func binary() throws {
        let encoding = try Encoding(contentType: "image/png")
        let message = Samples.message(bytes: [0x89, 0x50], encoding: encoding)
        #expect(line(message, isTerminal: true) == "<2 bytes image/png: 8950>")
        var raw: [UInt8] = []
        MessageText(reader: reader, isTerminal: false).append(message, to: &raw)
        #expect(raw == [0x89, 0x50])
        let damaged = Samples.message("x", encoding: try Encoding(contentEncoding: "gzip"))
        #expect(line(damaged, isTerminal: true) == "<1 byte gzip, not gzip: 78>")
    }

    @Test("Malformed text is marked on a terminal, and only told of elsewhere")
    func malformed() throws {
        let message = Samples.message(bytes: [0x61, 0xFF], encoding: try Encoding(charset: "utf-8"))
        #expect(line(message, isTerminal: true) == "a\u{FFFD} [not well-formed utf-8]")
        #expect(line(message, isTerminal: false) == "a\u{FFFD}")
    }

    @Test("The table shows a preview on one line")
    func table() throws {
        var table = MessageTable(width: nil)
        let text = Samples.text { out in
            table.append(
                Samples.message(
                    "a\nb", encoding: (try? Encoding(contentType: "text/plain; charset=latin1")) ?? .undeclared),
                to: &out)
            table.finish(to: &out)
        }
        #expect(
            text == """
                SEQ  TIME                      TOPIC  SIZE  TYPE                   TEXT
                 42  2025-11-23T08:15:00.123Z  a/b     3 B  text/plain iso-8859-1  a\\nb

                """)
    }
}

@Suite("The format of sub -F")
struct MessageFormatTests {
    private func show(_ format: String, _ message: Message) throws -> String {
        let format = try MessageFormat(format)
        let text = MessageText(reader: PayloadReader(), isTerminal: false)
        return Samples.text { format.append(message, with: text, to: &$0) }
    }

    @Test("Each letter stands for its field")
    func fields() throws {
        let encoding = try Encoding(contentType: "text/plain", charset: "latin1")
        let message = Samples.message(bytes: [0xFC], encoding: encoding, headers: ["h": "1"], key: "k")
        #expect(
            try show(#"%q|%d|%t|%s|%k|%c|%e|%h|%l|100%%\t\\\n"#, message)
                == "42|2025-11-23T08:15:00.123456Z|a/b|ü|k|text/plain|iso-8859-1|{\"h\":\"1\"}|1|100%\t\\\n")
    }

    @Test("%p is the payload as stored, and nothing is added")
    func raw() throws {
        var out: [UInt8] = []
        try MessageFormat("%p").append(
            Samples.message(bytes: [0, 0xFF]), with: MessageText(reader: PayloadReader(), isTerminal: true), to: &out)
        #expect(out == [0, 0xFF])
    }

    @Test("%j is a line of JSON without its newline")
    func json() throws {
        #expect(try show("<%j>", Samples.message()).hasSuffix("\"text\":\"hello\"}>"))
    }

    @Test("What is not known is refused as a usage error", arguments: ["%z", "%", "\\q", "a\\"])
    func unknown(format: String) {
        let error = #expect(throws: ApusError.self) { try MessageFormat(format) }
        #expect(error?.code == .usage)
    }
}

@Suite("The status for people")
struct StatusTableTests {
    @Test("Names and values, sections and tables, whatever the broker sends")
    func renders() throws {
        let status = try JSONParser.parse(
            #"{"version":"0.1.0","head":7,"log":{"file-bytes":2048,"wal-bytes":10},"limits":{"keep-alive":60,"wal-limit":1048576},"connections":[{"peer":"::1","cursors":2},{"peer":"x"}],"ok":true,"none":[]}"#
        )
        #expect(
            Samples.text { StatusTable.append(status, to: &$0) } == """
                version  0.1.0
                head     7
                ok       yes

                LOG
                  file-bytes  2 KiB (2048)
                  wal-bytes   10 B

                LIMITS
                  keep-alive  60 seconds
                  wal-limit   1 MiB (1048576)

                CONNECTIONS
                  peer    cursors
                  ::1     2
                  x       -

                NONE
                  none

                """)
    }
}
