/// Bytes as `xxd` shows them: offset, sixteen bytes in hexadecimal, and as ASCII.
enum HexDump {
    private static let digits = Array("0123456789abcdef".utf8)
    private static let columns = 16

    static func append(_ bytes: some RandomAccessCollection<UInt8>, to out: inout [UInt8]) {
        var rest = bytes[...]
        var offset = 0
        while !rest.isEmpty {
            appendRow(rest.prefix(columns), offset: offset, to: &out)
            rest = rest.dropFirst(columns)
            offset += columns
        }
    }

    private static func appendRow(_ row: some Collection<UInt8>, offset: Int, to out: inout [UInt8]) {
        for shift in stride(from: 28, through: 0, by: -4) { out.append(digits[offset >> shift & 15]) }
        out += ": ".utf8
        var count = 0
        for byte in row {
            appendByte(byte, to: &out)
            count += 1
            if count % 2 == 0 { out.append(UInt8(ascii: " ")) }
        }
        for missing in count..<columns {
            out += "  ".utf8
            if missing % 2 == 1 { out.append(UInt8(ascii: " ")) }
        }
        out.append(UInt8(ascii: " "))
        for byte in row { out.append(byte >= 0x20 && byte < 0x7F ? byte : UInt8(ascii: ".")) }
        out.append(UInt8(ascii: "\n"))
    }

    /// The first bytes, in pairs of digits; `…` where there are more.
    static func appendPrefix(_ bytes: some Collection<UInt8>, count: Int, to out: inout [UInt8]) {
        for byte in bytes.prefix(count) { appendByte(byte, to: &out) }
        if bytes.count > count { out += "…".utf8 }
    }

    private static func appendByte(_ byte: UInt8, to out: inout [UInt8]) {
        out.append(digits[Int(byte >> 4)])
        out.append(digits[Int(byte & 15)])
    }
}
