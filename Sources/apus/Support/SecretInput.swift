internal import ApusModel
internal import Glibc
internal import NIOCore

/// Passwords and tokens from files, from standard input and from people.
enum SecretInput {
    private static let bytesMax = Secret.bytesMax

    /// - Parameter path: `-` for standard input. One line end at the end is dropped.
    static func file(_ path: String, _ what: String) throws(ApusError) -> Secret {
        let name = path == "-" ? "standard input" : path
        let bytes: ByteBuffer
        do throws(ApusError) {
            if path == "-" {
                bytes = try FileIO.readAll(STDIN_FILENO, named: name, bytesMax: bytesMax)
            } else {
                let file = try FileIO.open(path)
                bytes = try FileIO.readAll(file.descriptor, named: name, bytesMax: bytesMax)
            }
        } catch  where error.code == .messageTooLarge {
            throw ApusError(.usage, "\(name) is too long to be \(what)")
        }
        var content = Array(bytes.readableBytesView)
        if content.last == UInt8(ascii: "\n") { content.removeLast() }
        if content.last == UInt8(ascii: "\r") { content.removeLast() }
        guard !content.isEmpty else { throw ApusError(.usage, "\(name) is empty: \(what) is expected there") }
        guard let text = String(validating: content, as: UTF8.self), !content.contains(0) else {
            throw ApusError(.usage, "\(name) is not text: \(what) is expected there")
        }
        return Secret(text)
    }

    /// Asks on the terminal, without echo.
    ///
    /// - Returns: nil where there is no terminal to ask on.
    static func ask(_ prompt: String) throws(ApusError) -> Secret? {
        let terminal = Glibc.open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY)
        guard terminal >= 0 else { return nil }
        defer { close(terminal) }
        var before = termios()
        guard tcgetattr(terminal, &before) == 0 else { return nil }
        var silent = before
        silent.c_lflag &= ~tcflag_t(ECHO)
        // Before the question: an answer that comes at once is not shown either.
        guard tcsetattr(terminal, TCSAFLUSH, &silent) == 0 else { return nil }
        _ = FileIO.writeAll(Array(prompt.utf8), to: terminal)
        defer {
            tcsetattr(terminal, TCSAFLUSH, &before)
            _ = FileIO.writeAll([UInt8(ascii: "\n")], to: terminal)
        }
        let line = try line(terminal)
        guard !line.isEmpty else { throw ApusError(.usage, "the password is empty") }
        guard let text = String(validating: line, as: UTF8.self) else {
            throw ApusError(.usage, "the password is not UTF-8")
        }
        return Secret(text)
    }

    private static func line(_ terminal: Int32) throws(ApusError) -> [UInt8] {
        var line: [UInt8] = []
        while line.count <= bytesMax {
            var bytes = ByteBuffer()
            guard try FileIO.read(from: terminal, named: "the terminal", into: &bytes, bytesMax: 1) > 0,
                let byte = bytes.readInteger(as: UInt8.self)
            else {
                guard !Interrupts.isRequested else { throw ApusError(.cancelled, "interrupted") }
                return line
            }
            if byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\r") { return line }
            line.append(byte)
        }
        throw ApusError(.usage, "the password is longer than \(bytesMax) bytes")
    }

    /// Twice, so that a slip of the finger locks nobody out.
    static func askForNew(of name: String) throws(ApusError) -> Secret? {
        guard let first = try ask("New password of \(name): ") else { return nil }
        guard try ask("Once more: ") == first else { throw ApusError(.usage, "the two passwords differ") }
        return first
    }
}

extension FileIO {
    fileprivate static func writeAll(_ bytes: [UInt8], to descriptor: Int32) -> Int32? {
        bytes.withUnsafeBytes { writeAll($0, to: descriptor) }
    }
}

/// Variables of the environment, each also as `NAME_FILE`: the file that holds the value.
enum Environment {
    /// - Returns: nil where it is not set, or empty.
    static func value(_ name: String) throws(ApusError) -> String? {
        let direct = text(name)
        guard let path = text(name + "_FILE") else { return direct }
        guard direct == nil else {
            throw ApusError(.usage, "$\(name) and $\(name)_FILE are both set", hint: "Unset one of them.")
        }
        return try SecretInput.file(path, "$\(name)").revealed
    }

    static func text(_ name: String) -> String? {
        guard let value = getenv(name) else { return nil }
        let text = String(cString: value)
        return text.isEmpty ? nil : text
    }
}
