// How what people write is read, and shown back to them.

extension StringProtocol {
    /// Of decimal digits only: 0x10, 010, 1_000 and 1e3 mean different numbers to different readers. nil for anything
    /// else, and beyond `Int`.
    package var decimal: Int? {
        guard !isEmpty, utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), utf8.count == 1 || utf8.first != 0x30 else {
            return nil
        }
        return Int(self)
    }

    /// For a message: on one line, and not without end.
    package var shown: String {
        let line = unicodeScalars.prefix(80).map { scalar in
            scalar.value < 0x20 || (0x7F..<0xA0).contains(scalar.value) ? " " : String(scalar)
        }
        return line.joined() + (unicodeScalars.count > 80 ? "…" : "")
    }
}
