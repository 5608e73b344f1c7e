/// A strict parser for JSON that strangers send: bounded in depth, duplicate names are an error, integers stay exact.
///
/// It never recurses deeper than `depthMax`, reads each byte once, and allocates no more than the text it was given.
package struct JSONParser {
    /// The limit `json-depth`: objects and arrays inside each other. One more is an error.
    package static let depthMax = 16

    private let bytes: UnsafeRawBufferPointer
    private var position = 0

    /// - Throws: `malformed-header` or `duplicate-field`, with the position in the text. Both are fatal.
    package static func parse(_ bytes: UnsafeRawBufferPointer) throws(ApusError) -> JSON {
        var parser = JSONParser(bytes: bytes)
        let value = try parser.value(depth: 0)
        parser.skipSpace()
        guard parser.position == bytes.count else { throw parser.error("text after the end of the value") }
        return value
    }

    package static func parse(_ text: String) throws(ApusError) -> JSON {
        var text = text
        let result = text.withUTF8 { bytes in
            Result<JSON, ApusError> { () throws(ApusError) in try parse(UnsafeRawBufferPointer(bytes)) }
        }
        return try result.get()
    }

    private func error(_ what: String) -> ApusError {
        .fatal(.malformedHeader, "not JSON: \(what) at byte \(position), where \(found)")
    }

    /// What stands at the position, in a few words: `"x" stands`, `byte 0x1f stands`, `the text ends`.
    private var found: String {
        guard let byte = next else { return "the text ends" }
        // As much as one character may have, so that it is shown whole; one that is broken is shown as a byte.
        let first = bytes[position..<min(bytes.count, position + 4)]
        let length = byte < 0x80 ? 1 : byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : 2
        if byte >= 0x20, byte != 0x7F, let text = String(validating: first.prefix(length), as: UTF8.self),
            let scalar = text.unicodeScalars.first, text.unicodeScalars.count == 1,
            scalar.properties.generalCategory != .control
        {
            return scalar == "\"" ? "'\"' stands" : "\"\(scalar)\" stands"
        }
        let hex = String(byte, radix: 16)
        return "byte 0x\(hex.count < 2 ? "0" : "")\(hex) stands"
    }

    private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
    }

    private mutating func value(depth: Int) throws(ApusError) -> JSON {
        skipSpace()
        if next == UInt8(ascii: "{") || next == UInt8(ascii: "["), depth >= JSONParser.depthMax {
            throw error("nested deeper than \(JSONParser.depthMax)")
        }
        switch next {
        case UInt8(ascii: "{"): return try object(depth: depth)
        case UInt8(ascii: "["): return try array(depth: depth)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try literal("true", .bool(true))
        case UInt8(ascii: "f"): return try literal("false", .bool(false))
        case UInt8(ascii: "n"): return try literal("null", .null)
        case nil: throw error("the text ends where a value should be")
        case let byte? where byte == UInt8(ascii: "-") || isDigit(byte): return try number()
        default: throw error("no value begins so")
        }
    }

    private mutating func literal(_ text: StaticString, _ value: JSON) throws(ApusError) -> JSON {
        let length = text.utf8CodeUnitCount
        guard position + length <= bytes.count,
            (0..<length).allSatisfy({ bytes[position + $0] == text.utf8Start[$0] })
        else { throw error("an unknown word") }
        position += length
        return value
    }

    private mutating func object(depth: Int) throws(ApusError) -> JSON {
        var members: [JSON.Member] = []
        // Few members are compared one by one; a set takes over before that becomes quadratic.
        // As bytes: Swift's `==` takes texts for the same that only look the same.
        var names: Set<[UInt8]>?
        position += 1
        skipSpace()
        if next == UInt8(ascii: "}") {
            position += 1
            return .object([])
        }
        while true {
            skipSpace()
            guard next == UInt8(ascii: "\"") else { throw error("a member without a name in quotation marks") }
            let name = try string()
            if members.count == 16 { names = Set(members.map { Array($0.name.utf8) }) }
            let isNew =
                names?.insert(Array(name.utf8)).inserted
                ?? !members.contains { $0.name.utf8.elementsEqual(name.utf8) }
            guard isNew else {
                throw .fatal(
                    .duplicateField, "the field \"\(name.prefix(80))\" stands twice, again before byte \(position)")
            }
            skipSpace()
            guard next == UInt8(ascii: ":") else { throw error("no colon after a name") }
            position += 1
            members.append(JSON.Member(name, try value(depth: depth + 1)))
            skipSpace()
            switch next {
            case UInt8(ascii: ","): position += 1
            case UInt8(ascii: "}"):
                position += 1
                return .object(members)
            default: throw error("neither a comma nor the end of the object")
            }
        }
    }

    private mutating func array(depth: Int) throws(ApusError) -> JSON {
        var items: [JSON] = []
        position += 1
        skipSpace()
        if next == UInt8(ascii: "]") {
            position += 1
            return .array([])
        }
        while true {
            items.append(try value(depth: depth + 1))
            skipSpace()
            switch next {
            case UInt8(ascii: ","): position += 1
            case UInt8(ascii: "]"):
                position += 1
                return .array(items)
            default: throw error("neither a comma nor the end of the array")
            }
        }
    }

    private func isDigit(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") }

    private mutating func digits() throws(ApusError) {
        let begin = position
        while let byte = next, isDigit(byte) { position += 1 }
        guard position > begin else { throw error("a number without digits") }
    }

    private mutating func number() throws(ApusError) -> JSON {
        let begin = position
        if next == UInt8(ascii: "-") { position += 1 }
        let firstDigit = next
        let integerStart = position
        try digits()
        guard firstDigit != UInt8(ascii: "0") || position == integerStart + 1 else {
            position = integerStart
            throw error("a number that begins with 0")
        }
        var isInteger = true
        if next == UInt8(ascii: ".") {
            isInteger = false
            position += 1
            try digits()
        }
        if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
            isInteger = false
            position += 1
            if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { position += 1 }
            try digits()
        }
        let text = String(decoding: bytes[begin..<position], as: UTF8.self)
        if isInteger, let value = Int64(text) { return .integer(value) }
        guard let value = Double(text), value.isFinite else {
            position = begin
            throw error("a number out of range")
        }
        return .number(value)
    }

    private mutating func string() throws(ApusError) -> String {
        position += 1
        let begin = position
        while let byte = next, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte >= 0x20 { position += 1 }
        if next == UInt8(ascii: "\"") {
            defer { position += 1 }
            return try text(Array(bytes[begin..<position]))
        }
        var out = Array(bytes[begin..<position])
        while let byte = next {
            // Named where it stands.
            if byte < 0x20 { throw error("a control character in a string") }
            position += 1
            switch byte {
            case UInt8(ascii: "\""): return try text(out)
            case UInt8(ascii: "\\"): try escape(into: &out)
            default: out.append(byte)
            }
        }
        throw error("a string without an end")
    }

    private func text(_ bytes: [UInt8]) throws(ApusError) -> String {
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw .fatal(.malformedHeader, "not JSON: the string that ends before byte \(position) is not UTF-8")
        }
        return text
    }

    private mutating func escape(into out: inout [UInt8]) throws(ApusError) {
        guard let byte = next else { throw error("a string without an end") }
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): out.append(byte)
        case UInt8(ascii: "n"): out.append(0x0A)
        case UInt8(ascii: "r"): out.append(0x0D)
        case UInt8(ascii: "t"): out.append(0x09)
        case UInt8(ascii: "b"): out.append(0x08)
        case UInt8(ascii: "f"): out.append(0x0C)
        case UInt8(ascii: "u"):
            position += 1
            out += Array(String(try scalar()).utf8)
            return
        default: throw error("an unknown escape")
        }
        position += 1
    }

    private mutating func scalar() throws(ApusError) -> Character {
        var code = try hex4()
        if code & 0xFC00 == 0xD800 {
            guard next == UInt8(ascii: "\\") else { throw error("half of a surrogate pair") }
            position += 1
            guard next == UInt8(ascii: "u") else { throw error("half of a surrogate pair") }
            position += 1
            let low = try hex4()
            guard low & 0xFC00 == 0xDC00 else { throw halfOfPair() }
            code = 0x10000 + ((code & 0x3FF) << 10) + (low & 0x3FF)
        }
        guard let scalar = Unicode.Scalar(code) else { throw halfOfPair() }
        return Character(scalar)
    }

    /// Behind its escape, `\uXXXX`; named where that begins.
    private mutating func halfOfPair() -> ApusError {
        position -= 6
        return error("half of a surrogate pair")
    }

    private mutating func hex4() throws(ApusError) -> UInt32 {
        var code: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = next, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
                throw error("\\u without four hexadecimal digits")
            }
            code = code << 4 | UInt32(digit)
            position += 1
        }
        return code
    }
}
