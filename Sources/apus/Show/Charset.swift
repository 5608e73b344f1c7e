internal import ApusModel
internal import Glibc

/// Conversion between charsets, by the system's iconv.
///
/// A converter holds state of the C library; it is confined to whoever made it.
final class CharsetConverter {
    private let handle: iconv_t
    /// Bytes to skip where the input is malformed.
    private let unitBytes: Int

    /// - Returns: nil where the system does not know one of the charsets.
    init?(from source: String, to target: String) {
        guard CharsetConverter.isName(source), CharsetConverter.isName(target) else { return nil }
        guard let handle = iconv_open(target, source), Int(bitPattern: handle) != -1 else { return nil }
        self.handle = handle
        let name = source.lowercased()
        unitBytes = name.hasPrefix("utf-16") || name.hasPrefix("ucs-2") ? 2 : name.hasPrefix("utf-32") ? 4 : 1
    }

    deinit { iconv_close(handle) }

    /// The C library takes options after slashes, and the empty name as the locale's charset: neither is a charset here.
    private static func isName(_ name: String) -> Bool {
        !name.isEmpty && name.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "/") }
    }

    struct Decoded: Equatable {
        /// UTF-8.
        var text: [UInt8] = []
        /// Something was not well-formed; U+FFFD stands in its place.
        var isMalformed = false
        /// There was more than the bound.
        var isCut = false
    }

    /// - Parameter bytesMax: where the text ends, give or take a character.
    func decode(_ bytes: UnsafeRawBufferPointer, bytesMax: Int) -> Decoded {
        var decoded = Decoded()
        decoded.text.reserveCapacity(min(bytesMax, bytes.count * 2))
        iconv(handle, nil, nil, nil, nil)
        var offset = 0
        while offset < bytes.count {
            guard decoded.text.count < bytesMax else {
                decoded.isCut = true
                return decoded
            }
            switch step(bytes, &offset, into: &decoded.text) {
            case 0, E2BIG: break
            default:
                decoded.isMalformed = true
                decoded.text += [0xEF, 0xBF, 0xBD]
                offset = min(bytes.count, offset + unitBytes)
            }
        }
        _ = step(nil, &offset, into: &decoded.text)
        return decoded
    }

    /// - Returns: the converted bytes, or the offset of the first that has no counterpart.
    func convert(_ bytes: UnsafeRawBufferPointer) -> Result<[UInt8], Unconvertible> {
        var out: [UInt8] = []
        iconv(handle, nil, nil, nil, nil)
        var offset = 0
        while offset < bytes.count {
            let code = step(bytes, &offset, into: &out)
            guard code == 0 || code == E2BIG else { return .failure(Unconvertible(offset: offset)) }
        }
        _ = step(nil, &offset, into: &out)
        return .success(out)
    }

    struct Unconvertible: Error, Equatable {
        let offset: Int
    }

    /// One call of iconv with room for 4 KiB.
    ///
    /// - Returns: 0 or the error number.
    private func step(_ bytes: UnsafeRawBufferPointer?, _ offset: inout Int, into out: inout [UInt8]) -> Int32 {
        withUnsafeTemporaryAllocation(byteCount: 4_096, alignment: 8) { space in
            var target = space.baseAddress?.assumingMemoryBound(to: CChar.self)
            var targetLeft = space.count
            var code: Int32 = 0
            if let bytes, let base = bytes.baseAddress {
                var source: UnsafeMutablePointer<CChar>? = UnsafeMutableRawPointer(mutating: base + offset)
                    .assumingMemoryBound(to: CChar.self)
                var sourceLeft = bytes.count - offset
                if iconv(handle, &source, &sourceLeft, &target, &targetLeft) == -1 { code = errno }
                offset = bytes.count - sourceLeft
            } else {
                iconv(handle, nil, nil, &target, &targetLeft)
            }
            out.append(contentsOf: space[..<(space.count - targetLeft)])
            return code
        }
    }
}

/// Text of the command line, written in the charset that is declared for it.
enum TextEncoder {
    /// - Parameter text: UTF-8.
    /// - Throws: `invalid-encoding`, naming the first character that the charset does not have.
    static func encode(_ text: [UInt8], to charset: String, byteOrder: String?) throws(ApusError) -> [UInt8] {
        guard let valid = String(validating: text, as: UTF8.self) else {
            throw ApusError(
                .invalidEncoding, "the text is not well-formed UTF-8, so it cannot be written in \(charset)",
                hint: "Bytes go in with -f or as the whole of standard input: declared, not converted.")
        }
        if charset == "utf-8" { return text }
        let (name, mark) = resolve(charset, byteOrder: byteOrder)
        guard let converter = CharsetConverter(from: "utf-8", to: name) else {
            throw ApusError(
                .invalidEncoding, "the charset \(charset) is not known on this system",
                hint: "iconv --list names the known ones. With -f the bytes go in as they are, whatever is declared.")
        }
        switch text.withUnsafeBytes({ converter.convert($0) }) {
        case .success(let bytes): return mark + bytes
        case .failure(let failure): throw unconvertible(valid, at: failure.offset, charset)
        }
    }

    private static func unconvertible(_ text: String, at offset: Int, _ charset: String) -> ApusError {
        let index = text.utf8.index(text.startIndex, offsetBy: min(offset, text.utf8.count))
        let position = text.unicodeScalars.distance(from: text.startIndex, to: index) + 1
        guard index < text.endIndex else {
            return ApusError(.invalidEncoding, "the end of the text cannot be written in \(charset)")
        }
        let scalar = text.unicodeScalars[index]
        let code = String(scalar.value, radix: 16, uppercase: true)
        let padded = String(repeating: "0", count: max(0, 4 - code.count)) + code
        return ApusError(
            .invalidEncoding, "\"\(scalar)\" (U+\(padded), character \(position)) cannot be written in \(charset)")
    }

    /// Where the charset leaves the order of bytes open, the declared one decides; else big (RFC 2781, section 4.3).
    /// The byte order mark says it again.
    private static func resolve(_ charset: String, byteOrder: String?) -> (name: String, mark: [UInt8]) {
        switch (charset, byteOrder) {
        case ("utf-16", "little"): ("utf-16le", [0xFF, 0xFE])
        case ("utf-16", _): ("utf-16be", [0xFE, 0xFF])
        case ("utf-32", "little"): ("utf-32le", [0xFF, 0xFE, 0, 0])
        case ("utf-32", _): ("utf-32be", [0, 0, 0xFE, 0xFF])
        default: (charset, [])
        }
    }
}
