import NIOCore

/// Bytes as two hexadecimal digits each; white space counts for nothing.
func decodeHex(_ hex: String) -> [UInt8]? {
    let digits = hex.filter { !$0.isWhitespace }.compactMap(\.hexDigitValue)
    guard digits.count == hex.filter({ !$0.isWhitespace }).count, digits.count.isMultiple(of: 2) else { return nil }
    return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
}

func hex(_ bytes: some Sequence<UInt8>) -> String {
    let digits = Array("0123456789abcdef")
    return String(bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
}

func hex(_ buffer: ByteBuffer) -> String { hex(buffer.readableBytesView) }

/// A frame whose header is this JSON text, whatever it holds.
func jsonFrame(_ header: String, content: [UInt8] = []) -> [UInt8] {
    let count = header.utf8.count
    return [UInt8(count >> 8), UInt8(count & 0xFF)] + Array(header.utf8) + content
}
