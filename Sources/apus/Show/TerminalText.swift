/// Text on a terminal: what could move the cursor, change colours or turn the reading order is shown, not sent.
enum TerminalText {
    enum Newlines {
        /// Newlines and tabs go through; a carriage return before a newline is left out.
        case kept
        /// For what must stay on its line: `\n` and `\t` are shown so.
        case shown
    }

    /// - Parameter text: UTF-8; what is not becomes U+FFFD.
    static func append(_ text: [UInt8], to out: inout [UInt8], newlines: Newlines) {
        if text.allSatisfy({ $0 >= 0x20 && $0 < 0x7F }) {
            out += text
            return
        }
        let scalars = String(decoding: text, as: UTF8.self).unicodeScalars
        for index in scalars.indices {
            let scalar = scalars[index]
            let next = scalars.index(after: index)
            if newlines == .kept, scalar == "\r", next < scalars.endIndex, scalars[next] == "\n" { continue }
            append(scalar, to: &out, newlines: newlines)
        }
    }

    static func escaped(_ text: String, newlines: Newlines = .shown) -> String {
        var out: [UInt8] = []
        append(Array(text.utf8), to: &out, newlines: newlines)
        return String(decoding: out, as: UTF8.self)
    }

    /// JSON on a terminal: what could garble it stands escaped in its strings, which says the same.
    static func json(_ line: [UInt8]) -> [UInt8] {
        guard line.contains(where: { $0 >= 0x80 }) else { return line }
        var out: [UInt8] = []
        out.reserveCapacity(line.count)
        for scalar in String(decoding: line, as: UTF8.self).unicodeScalars {
            if isHidden(scalar) {
                let hex = String(scalar.value, radix: 16)
                out += "\\u\(String(repeating: "0", count: 4 - hex.count))\(hex)".utf8
            } else {
                out += String(scalar).utf8
            }
        }
        return out
    }

    /// C1 controls, and what turns the reading order or breaks lines.
    private static func isHidden(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x80..<0xA0, 0x200E, 0x200F, 0x2028...0x202E, 0x2066...0x2069: true
        default: false
        }
    }

    private static func append(_ scalar: Unicode.Scalar, to out: inout [UInt8], newlines: Newlines) {
        switch scalar.value {
        case 0x09, 0x0A:
            if newlines == .kept {
                out.append(UInt8(scalar.value))
            } else {
                out += (scalar == "\n" ? "\\n" : "\\t").utf8
            }
        case 0x0D: out += "\\r".utf8
        case 0..<0x20, 0x7F:
            let hex = String(scalar.value, radix: 16)
            out += "\\x\(hex.count < 2 ? "0" : "")\(hex)".utf8
        case _ where isHidden(scalar): out += "\\u{\(String(scalar.value, radix: 16))}".utf8
        default: out += String(scalar).utf8
        }
    }
}
