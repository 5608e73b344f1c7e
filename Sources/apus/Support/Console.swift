internal import ApusModel
internal import Glibc

/// What is told to people, on standard error. Data never goes here.
struct Console: Sendable {
    var isQuiet = false
    var isVerbose = false

    /// Worth knowing; `--quiet` leaves it out.
    func note(_ text: String) {
        if !isQuiet { Console.line("apus: \(text)") }
    }

    /// Only with `--verbose`.
    func detail(_ text: String) {
        if isVerbose { Console.line("apus: \(text)") }
    }

    static func error(_ error: ApusError) {
        line("apus: \(error.message)")
        if let hint = error.hint { line("  \(hint)") }
    }

    static func line(_ text: String) {
        var bytes: [UInt8] = []
        if Terminal.isTerminal(STDERR_FILENO) {
            // Whatever progress bar stands there gives way.
            bytes += "\r\u{1B}[K".utf8
            TerminalText.append(Array(text.utf8), to: &bytes, newlines: .kept)
        } else {
            bytes += text.utf8
        }
        bytes.append(UInt8(ascii: "\n"))
        raw(bytes)
    }

    static func raw(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { bytes in
            var rest = bytes
            while !rest.isEmpty {
                let written = write(STDERR_FILENO, rest.baseAddress, rest.count)
                if written < 0, errno == EINTR { continue }
                guard written > 0 else { return }
                rest = UnsafeRawBufferPointer(rebasing: rest[written...])
            }
        }
    }
}
