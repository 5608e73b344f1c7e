import ApusModel
import ApusSettings
import Foundation
import Logging
import Testing

@testable import apus

@Suite("A line of the broker's log")
struct LogLineTests {
    private func line(_ message: String, _ metadata: Logger.Metadata = [:]) -> LogLine {
        LogLine(time: 1_763_885_700_000_042, level: .notice, label: "apus", message: message, metadata: metadata)
    }

    private func json(_ line: LogLine) -> String { String(decoding: line.json, as: UTF8.self) }
    private func text(_ line: LogLine) -> String { String(decoding: line.text, as: UTF8.self) }

    @Test("as JSON is an object with time in UTC, level, label, message, and metadata in order")
    func shape() {
        #expect(
            json(line("hello", ["b": "2", "a": .array(["x", .dictionary(["k": "v"])]), "c": .stringConvertible(3)]))
                == #"{"time":"2025-11-23T08:15:00.000042Z","level":"notice","label":"apus","message":"hello","#
                + #""metadata":{"a":["x",{"k":"v"}],"b":"2","c":"3"}}"# + "\n")
        #expect(!json(line("hello")).contains("metadata"))
    }

    @Test(
        "stays one line and one value, whatever stands in it",
        arguments: [
            "\"", "\\", "\n\r\t", "\u{0}\u{1B}[2J", "a\u{2028}b", "naïve こ 🦆", "}{", "=", " ", "", "\u{7F}\u{85}",
        ])
    func escaping(nasty: String) throws {
        let line = line(nasty, [nasty: .string(nasty), "list": .array([.string(nasty)])])
        let bytes = line.json
        #expect(bytes.last == 0x0A && bytes.dropLast().allSatisfy { $0 >= 0x20 })
        let object = try #require(try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any])
        #expect(object["message"] as? String == nasty)
        let metadata = try #require(object["metadata"] as? [String: Any])
        #expect(metadata[nasty] as? String == nasty)
        #expect(metadata["list"] as? [String] == [nasty])
        #expect(line.text.last == 0x0A && line.text.dropLast().allSatisfy { $0 >= 0x20 && $0 != 0x7F })
    }

    @Test("as text puts what could be misread in quotation marks")
    func quotes() {
        #expect(
            text(line("hello", ["a": "plain", "b": "two words", "c": "", "d": "say \"x\"", "e": "k=v"]))
                == "2025-11-23T08:15:00.000042Z notice apus: hello a=plain b=\"two words\" c=\"\" d=\"say \\\"x\\\"\" "
                + "e=\"k=v\"\n")
        #expect(text(line("a\nb")).hasSuffix("a\\nb\n"))
    }
}

@Suite("The broker's log")
struct ServeLogTests {
    /// What `body` makes a log write.
    private func written(
        level: Logger.Level = .info, format: LogFormat = .json, _ body: (LogControl) throws -> Void
    ) throws -> [String] {
        let path = FileManager.default.temporaryDirectory.appending(path: "apus-log-\(UUID().uuidString)").path
        let descriptor = open(path, O_RDWR | O_CREAT | O_APPEND, 0o600)
        try #require(descriptor >= 0)
        defer {
            close(descriptor)
            unlink(path)
        }
        try body(LogControl(level: level, format: format, descriptor: descriptor))
        return try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n").map(String.init)
    }

    private func metadata(_ line: String) throws -> JSON? { try JSONParser.parse(line)["metadata"] }

    @Test("merges metadata: what is said with the message wins, then the provider, then the logger's own")
    func merging() throws {
        let lines = try written { control in
            var handler = ServeLogHandler(label: "apus", control: control)
            handler.metadataProvider = Logger.MetadataProvider { ["b": "provider", "c": "provider"] }
            let ready = handler
            var logger = Logger(label: "apus", factory: { _ in ready })
            logger[metadataKey: "a"] = "logger"
            logger[metadataKey: "b"] = "logger"
            logger.info("x", metadata: ["c": "message", "d": "message"])
            logger.info("y")
        }
        #expect(
            try metadata(lines[0])?.text == #"{"a":"logger","b":"provider","c":"message","d":"message"}"#)
        #expect(try metadata(lines[1])?.text == #"{"a":"logger","b":"provider","c":"provider"}"#)
    }

    @Test("changes its level and its form for every logger that there is")
    func control() throws {
        let lines = try written(level: .notice) { control in
            let logger = control.logger()
            var own = control.logger()
            own.logLevel = .trace
            logger.info("not yet")
            own.debug("its own level")
            control.level = .debug
            logger.debug("now")
            control.format = .text
            logger.debug("as text")
            control.level = .error
            logger.warning("not any more")
        }
        #expect(lines.count == 3)
        #expect(lines[0].contains(#""message":"its own level""#))
        #expect(lines[1].contains(#""level":"debug""#) && lines[1].contains("now"))
        #expect(lines[2].hasSuffix(" debug apus: as text"))
    }

    @Test("never mixes the lines of several threads")
    func threads() throws {
        let text = String(repeating: "x", count: 5_000)
        let lines = try written { control in
            let logger = control.logger()
            DispatchQueue.concurrentPerform(iterations: 8) { thread in
                for number in 0..<50 { logger.info("\(text)", metadata: ["n": "\(thread).\(number)"]) }
            }
        }
        var numbers: Set<String> = []
        for line in lines {
            let value = try JSONParser.parse(line)
            #expect(value["message"] == .string(text))
            numbers.insert(value["metadata"]?["n"]?.text ?? "")
        }
        #expect(lines.count == 400 && numbers.count == 400)
    }

    @Test("says what is announced, and why it ends, in its form and whatever its level")
    func announcements() throws {
        let lines = try written(level: .critical) { control in
            control.announce("listening on apus://127.0.0.1:2787")
            control.fail(ApusError(.unavailable, "no room", hint: "Make some."))
        }
        #expect(lines.count == 2)
        #expect(lines[0].contains(#""message":"listening on apus://127.0.0.1:2787""#))
        #expect(lines[1].contains(#""level":"critical""#) && lines[1].contains("no room. Make some."))
        #expect(try metadata(lines[1])?["code"] == .string("unavailable"))
    }
}
