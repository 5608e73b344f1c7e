import Foundation

/// One message as it was published, and as it has to come out everywhere.
struct Expected: Sendable {
    var payload: [UInt8]
    /// What a reader sees; nil for what is no text.
    var text: String?
}

/// What one publisher process publishes under one topic, in this order.
struct Course: Sendable {
    let topic: String
    let arguments: [String]
    var input = Child.Input.nothing
    var contentType: String?
    var charset: String?
    var contentEncoding: String?
    var byteOrder: String?
    /// The publisher compresses: which bytes that gives is zlib's business, but they have to inflate to these.
    var isCompressedByPublisher = false
    var messages: [Expected]
}

/// Real text and real programs: what lies on any machine, and this project itself.
struct Corpus {
    let workshop: Workshop

    /// Of the whole corpus; more would only take longer.
    private static let filesMax = 90
    private static let fileBytesMax = 128 << 10
    private static let linesMax = 1_500

    static let german = """
        Im Sommer fliegen die Mauersegler über den Dächern; sie schlafen in der Luft und fressen, was sie dort fangen.
        Größe: 17 cm, Gewicht: 40 g, Flügelspannweite: 42 cm. «Ärger» kennen sie nur mit Falken.
        """
    static let japanese = [
        "吾輩は猫である。名前はまだ無い。", "どこで生れたかとんと見当がつかぬ。",
        "雨ニモマケズ\n風ニモマケズ\n雪ニモ夏ノ暑サニモマケヌ", "アマツバメは空を飛びながら眠る。",
    ]
    static let chinese = ["學而時習之，不亦說乎？有朋自遠方來，不亦樂乎？", "雨燕是飞行速度最快的鸟类之一。", "道可道，非常道。𠀀𠮷"]

    func courses() async throws -> [Course] {
        let texts = try texts()
        let programs = ["/bin/ls", "/bin/cat", "/bin/sh"].filter { isReadable($0) }.prefix(2).map { $0 }
        return [
            Course(
                topic: "docs/text/utf8",
                arguments: files(texts) + ["--content-type", "text/plain", "--charset", "utf-8"],
                contentType: "text/plain", charset: "utf-8", messages: try texts.map { try text($0) }),
            try await converted("docs/text/latin1", [Corpus.german], "iso-8859-1", contentType: "text/plain"),
            try await converted(
                "docs/text/utf16", [Corpus.german] + Corpus.japanese + Corpus.chinese, "utf-16le", mark: [0xFF, 0xFE],
                contentType: "text/plain", byteOrder: "little"),
            try await converted("docs/text/japanese", Corpus.japanese, "shift_jis", contentType: "text/plain"),
            try await converted("docs/text/chinese", Corpus.chinese, "gb18030", contentType: "text/plain"),
            try await records("docs/text/records", Corpus.japanese),
            Course(
                topic: "docs/compressed", arguments: files(Array(texts.prefix(12))) + ["--content-encoding", "gzip"],
                contentEncoding: "gzip", isCompressedByPublisher: true,
                messages: try texts.prefix(12).map { try text($0) }),
            try await precompressed(texts),
            Course(
                topic: "programs",
                arguments: files(programs) + ["--content-type", "application/octet-stream", "--byte-order", "little"],
                contentType: "application/octet-stream", byteOrder: "little",
                messages: try programs.map { Expected(payload: try bytes($0)) }),
            try await lines(texts),
        ]
    }

    // MARK: Finding

    private func isReadable(_ path: String) -> Bool { FileManager.default.isReadableFile(atPath: path) }

    private func bytes(_ path: String) throws -> [UInt8] { [UInt8](try Data(contentsOf: URL(fileURLWithPath: path))) }

    private func text(_ path: String) throws -> Expected {
        let bytes = try bytes(path)
        return Expected(payload: bytes, text: String(decoding: bytes, as: UTF8.self))
    }

    private func files(_ paths: [String]) -> [String] { paths.flatMap { ["-f", $0] } }

    /// The root of this repository.
    private var project: String {
        var url = URL(fileURLWithPath: #filePath)
        for _ in 0..<4 { url.deleteLastPathComponent() }
        return url.path
    }

    /// The machine's documentation, and this project's files: some of them are always there.
    private func texts() throws -> [String] {
        var found: [String] = []
        let rooms = [
            ("/usr/share/common-licenses", 20), ("/usr/share/doc", Corpus.filesMax - 20),
            ("\(project)/Sources", Corpus.filesMax),
        ]
        for (folder, end) in rooms {
            guard let walk = FileManager.default.enumerator(atPath: folder) else { continue }
            var paths: [String] = []
            while let name = walk.nextObject() as? String, paths.count < 4_000 { paths.append("\(folder)/\(name)") }
            for path in paths.sorted() where found.count < end && isText(path) { found.append(path) }
        }
        guard found.count > 20 else { throw Unexpected("only \(found.count) texts, not even this project's") }
        return found
    }

    private func isText(_ path: String) -> Bool {
        guard !path.hasSuffix(".gz"), !path.hasSuffix(".png"),
            let values = try? FileManager.default.attributesOfItem(atPath: path),
            values[.type] as? FileAttributeType == .typeRegular, let size = values[.size] as? Int,
            size <= Corpus.fileBytesMax, let data = FileManager.default.contents(atPath: path)
        else { return false }
        return String(validating: data, as: UTF8.self) != nil
    }

    // MARK: Making

    private func tool(_ arguments: [String], _ input: [UInt8]) async throws -> [UInt8] {
        let finished = try await workshop.spawn(arguments, input: .bytes(input)).ended()
        guard finished.end == .exited(0) else { throw Unexpected("\(arguments[0]): \(finished.errors)") }
        return finished.output
    }

    private func encode(_ text: String, _ charset: String) async throws -> [UInt8] {
        try await tool(["iconv", "-f", "UTF-8", "-t", charset], Array(text.utf8))
    }

    /// Files in another charset.
    private func converted(
        _ topic: String, _ texts: [String], _ charset: String, mark: [UInt8] = [], contentType: String,
        byteOrder: String? = nil
    ) async throws -> Course {
        var paths: [String] = []
        var messages: [Expected] = []
        for (index, text) in texts.enumerated() {
            let payload = mark + (try await encode(text, charset))
            paths.append(try workshop.file("\(charset)-\(index).txt", payload))
            messages.append(Expected(payload: payload, text: (mark.isEmpty ? "" : "\u{FEFF}") + text))
        }
        let order = byteOrder.map { ["--byte-order", $0] } ?? []
        return Course(
            topic: topic, arguments: files(paths) + ["--content-type", contentType, "--charset", charset] + order,
            contentType: contentType, charset: charset, byteOrder: byteOrder, messages: messages)
    }

    /// NUL-separated UTF-8, which the publisher converts.
    private func records(_ topic: String, _ texts: [String]) async throws -> Course {
        var messages: [Expected] = []
        for text in texts { messages.append(Expected(payload: try await encode(text, "shift_jis"), text: text)) }
        return Course(
            topic: topic, arguments: ["-0", "--charset", "shift_jis"],
            input: .bytes(Array(texts.joined(separator: "\0").utf8)), contentType: "text/plain", charset: "shift_jis",
            messages: messages)
    }

    /// What somebody else has compressed.
    private func precompressed(_ texts: [String]) async throws -> Course {
        var paths: [String] = []
        var messages: [Expected] = []
        for (index, path) in texts.suffix(5).enumerated() {
            let plain = try bytes(path)
            let payload = try await tool(["gzip", "-9", "-c"], plain)
            paths.append(try workshop.file("\(index).gz", payload))
            messages.append(Expected(payload: payload, text: String(decoding: plain, as: UTF8.self)))
        }
        return Course(
            topic: "docs/precompressed",
            arguments: files(paths) + [
                "--precompressed", "--content-encoding", "gzip", "--content-type", "text/plain; charset=utf-8",
            ],
            contentType: "text/plain; charset=utf-8", contentEncoding: "gzip", messages: messages)
    }

    /// A line a message: this project's history where there is one, then lines of the texts.
    private func lines(_ texts: [String]) async throws -> Course {
        var text: [UInt8] = []
        if FileManager.default.fileExists(atPath: "\(project)/.git"),
            let log = try? await tool(["git", "-C", project, "log", "--stat", "-n", "40"], [])
        {
            text = log
        }
        for path in texts.suffix(12) { text += try bytes(path) + [0x0A] }
        let lines = text.split(separator: 0x0A, omittingEmptySubsequences: false)
            .filter { String(validating: $0, as: UTF8.self) != nil }
            .prefix(Corpus.linesMax).map { Array($0) }
        return Course(
            topic: "lines/log", arguments: ["-l"],
            input: .bytes(Array((lines.map { $0 + [0x0A] }).joined())), contentType: "text/plain", charset: "utf-8",
            messages: lines.map { Expected(payload: $0, text: String(decoding: $0, as: UTF8.self)) })
    }
}
