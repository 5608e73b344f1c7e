import ApusModel
import ApusTesting
import Testing

@Suite("JSON")
struct JSONTests {
    static let good: [(text: String, value: JSON)] = [
        ("null", .null), ("true", .bool(true)), (" false ", .bool(false)), ("0", .integer(0)), ("-0", .integer(0)),
        ("9223372036854775807", .integer(.max)), ("-9223372036854775808", .integer(.min)),
        ("9223372036854775808", .number(9_223_372_036_854_775_808)), ("1.0", .number(1)), ("1e2", .number(100)),
        ("-1.5E-3", .number(-0.0015)), ("1E+2", .number(100)), ("0.1", .number(0.1)), ("\"\"", .string("")),
        ("\"a\"", .string("a")), (#""\"\\\/\b\f\n\r\t""#, .string("\"\\/\u{8}\u{C}\n\r\t")),
        (#""\u0000""#, .string("\0")), (#""\u00e9\u00E9""#, .string("éé")),
        (#""\ud83d\ude00""#, .string("\u{1F600}")), (#""\uFFFF\uE000""#, .string("\u{FFFF}\u{E000}")),
        ("\"\u{1F600}é\u{7F}\"", .string("\u{1F600}é\u{7F}")), ("[]", .array([])), ("[ ]", .array([])),
        ("[1,[2],null]", .array([.integer(1), .array([.integer(2)]), .null])), ("{}", .object([])),
        ("{ }", .object([])),
        (
            "{\"b\":1, \"a\" :\t[{}]\r\n}",
            .object([JSON.Member("b", .integer(1)), JSON.Member("a", .array([.object([])]))])
        ),
        (#"{"":0," ":1}"#, .object([JSON.Member("", .integer(0)), JSON.Member(" ", .integer(1))])),
    ]

    @Test("Good texts are read exactly", arguments: good.indices)
    func readsGood(_ index: Int) throws {
        let (text, value) = JSONTests.good[index]
        #expect(try JSONParser.parse(text) == value)
    }

    @Test(
        "Texts that RFC 8259 does not allow are refused",
        arguments: [
            "", " ", "nul", "nulll", "True", "tru", "+1", "01", "-01", "-", ".5", "1.", "1.e1", "1e", "1e+", "0x1",
            "1_000", "NaN", "Infinity", "-Infinity", "1e999", "'a'", "\"", "\"a", "\"\\", "\"\\\"", "\"\\x41\"",
            "\"\\u\"", "\"\\u12\"", "\"\\u12G4\"", "\"\\ud800\"", "\"\\udc00\"", "\"\\ud800x\"", "\"\\ud800\\n\"",
            "\"\\ud800\\ud800\"", "\"\\ud800\\u0041\"", "\"\n\"", "\"\t\"", "\"\0\"", "[", "]", "[1", "[1,", "[1,]",
            "[,1]", "[1 2]", "[1}", "{", "}", "{]", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,", "{\"a\":1,}",
            "{\"a\" 1}", "{a:1}", "{1:1}", "{,}", "{\"a\":1 \"b\":2}", "1 2", "{}{}", "null,", "/**/1", "1//",
            "\u{FEFF}1", "\u{A0}1", "1\u{2028}", "\u{FF11}",
        ])
    func refusesBad(_ text: String) {
        #expect(code { () throws(ApusError) in _ = try JSONParser.parse(text) } == .malformedHeader)
    }

    @Test(
        "Bytes that are not UTF-8 are refused",
        arguments: [
            [0xFF], [0x80], [0xC0, 0x80], [0xC3], [0xE2, 0x82], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80],
            [0xF8, 0x88, 0x80, 0x80, 0x80], [0xC3, 0x28],
        ] as [[UInt8]])
    func refusesNotUTF8(_ inside: [UInt8]) {
        #expect(code { () throws(ApusError) in _ = try parse([0x22] + inside + [0x22]) } == .malformedHeader)
        #expect(
            code { () throws(ApusError) in _ = try parse([0x22, 0x5C, 0x6E] + inside + [0x22]) } == .malformedHeader)
        #expect(code { () throws(ApusError) in _ = try parse(inside) } == .malformedHeader)
    }

    @Test(
        "An error says at which byte, and what stands there",
        arguments: [
            (#"{"a":x}"#, #"no value begins so at byte 5, where "x" stands"#),
            (#"{"a" 1}"#, #"no colon after a name at byte 5, where "1" stands"#),
            (#"{a:1}"#, #"at byte 1, where "a" stands"#), (#"{'a':1}"#, #"at byte 1, where "'" stands"#),
            (#"{"a":1"#, "at byte 6, where the text ends"), ("[1 é]", #"at byte 3, where "é" stands"#),
            ("[1 💩]", #"at byte 3, where "💩" stands"#), ("[1\"x\"]", #"at byte 2, where '"' stands"#),
            ("[\"a\u{01}b\"]", "a control character in a string at byte 3, where byte 0x01 stands"),
            (#"["\x"]"#, #"an unknown escape at byte 3, where "x" stands"#), ("[012]", #"at byte 1, where "0" stands"#),
            ("[1e999]", #"out of range at byte 1, where "1" stands"#),
            (#"["a\ude00b"]"#, #"half of a surrogate pair at byte 3, where "\" stands"#),
            (#"["\ud800\u0041"]"#, #"half of a surrogate pair at byte 8, where "\" stands"#),
            ("{}}", #"text after the end of the value at byte 2, where "}" stands"#),
        ])
    func found(text: String, says: String) {
        let error = #expect(throws: ApusError.self) { try JSONParser.parse(text) }
        #expect(error?.message.hasSuffix(says) == true, "\(error?.message ?? "")")
    }

    @Test("Bytes that are no character are shown as bytes", arguments: [0x80, 0xC3, 0xF0, 0xFF, 0x7F] as [UInt8])
    func foundByte(byte: UInt8) {
        for rest in [[], [UInt8(ascii: "]")], [0x41, 0x41, 0x41]] {
            let bytes = [UInt8(ascii: "["), byte] + rest
            let error = #expect(throws: ApusError.self) { try bytes.withUnsafeBytes { try JSONParser.parse($0) } }
            #expect(error?.message.hasSuffix("at byte 1, where byte 0x\(String(byte, radix: 16)) stands") == true)
        }
    }

    @Test(
        "A name that stands twice in an object is an error, at any depth and however it is written",
        arguments: [
            #"{"a":1,"a":1}"#, #"{"a":1,"b":2,"\u0061":3}"#, #"[{"x":{"a":1,"a":1}}]"#, #"{"":1,"":2}"#,
            #"{"é":1,"\u00e9":2}"#,
        ])
    func refusesDuplicates(_ text: String) {
        #expect(code { () throws(ApusError) in _ = try JSONParser.parse(text) } == .duplicateField)
    }

    @Test("Names are compared as bytes", arguments: [2, 40])
    func comparesNamesAsBytes(_ count: Int) throws {
        // Few members and many are compared in different ways.
        let others = (0..<count).map { "\"\($0)\":0," }.joined()
        let value = try JSONParser.parse("{\(others)\"\u{E9}\":1,\"e\u{301}\":2}")
        if case .object(let members) = value { #expect(members.count == count + 2) }
        let again = "{\(others)\"\u{E9}\":1,\"\u{E9}\":2}"
        #expect(code { () throws(ApusError) in _ = try JSONParser.parse(again) } == .duplicateField)
    }

    @Test("The same name in different objects is no duplicate")
    func sameNameElsewhere() throws {
        #expect(try JSONParser.parse(#"{"a":{"a":1},"b":{"a":2}}"#)["b"]?["a"] == .integer(2))
    }

    @Test("16 objects and arrays may be inside each other, 17 may not")
    func depth() throws {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let nested = { (count: Int, inner: String) in
                String(repeating: open, count: count) + inner + String(repeating: close, count: count)
            }
            #expect(throws: Never.self) { try JSONParser.parse(nested(16, "1")) }
            #expect(code { () throws(ApusError) in _ = try JSONParser.parse(nested(16, "[]")) } == .malformedHeader)
            #expect(code { () throws(ApusError) in _ = try JSONParser.parse(nested(17, "1")) } == .malformedHeader)
            let deep = String(repeating: open, count: 100_000)
            #expect(code { () throws(ApusError) in _ = try JSONParser.parse(deep) } == .malformedHeader)
        }
        #expect(JSONParser.depthMax == 16)
    }

    @Test(
        "Integers stay exact, and fractions are told from them",
        arguments: [0, 1, -1, 1 << 53, (1 << 53) + 1, .max, .min] as [Int64])
    func integers(_ value: Int64) throws {
        #expect(try JSONParser.parse("\(value)") == .integer(value))
        #expect(JSON.integer(value).text == "\(value)")
        if case .integer = try JSONParser.parse("\(value).0") { Issue.record("a fraction was read as an integer") }
    }

    @Test("What is written is read again")
    func roundTrip() throws {
        for (_, value) in JSONTests.good { #expect(try JSONParser.parse(value.text) == value) }
        var random = SeededRandom(seed: 8_259)
        for _ in 0..<2_000 {
            let value = randomValue(depth: 0, &random)
            #expect(try parse(value.bytes) == value)
        }
    }

    @Test("Control characters are written as escapes, everything else as it is")
    func escapes() {
        #expect(JSON.string("a\"\\/\n\r\t\u{8}\0\u{1F}\u{7F}é").text == #""a\"\\/\n\r\t\u0008\u0000\u001f\u007fé""#)
        #expect(JSON.number(.nan).text == "null")
        #expect(JSON.number(.infinity).text == "null")
        #expect(JSON.unsigned(.max).text == "1.8446744073709552e+19")
    }

    @Test("Random bytes are read or refused, never trapped on")
    func survivesRandomBytes() {
        var random = SeededRandom(seed: 3)
        let alphabet = Array(#"{}[]",:\u0123dDeE+-.tfn "#.utf8) + [0xC3, 0xA9, 0xFF, 0x00]
        var read = 0
        for _ in 0..<20_000 {
            let bytes = (0..<Int.random(in: 0...24, using: &random)).map { _ in
                alphabet.randomElement(using: &random) ?? 0
            }
            if code({ () throws(ApusError) in _ = try parse(bytes) }) == nil { read += 1 }
        }
        #expect(read > 10)
    }

    private func randomValue(depth: Int, _ random: inout SeededRandom) -> JSON {
        switch Int.random(in: 0..<(depth < 5 ? 7 : 5), using: &random) {
        case 0: return .null
        case 1: return .bool(Bool.random(using: &random))
        case 2: return .integer(Int64(bitPattern: random.next()) >> Int64.random(in: 0..<64, using: &random))
        case 3: return .number(Double.random(in: -1e300...1e300, using: &random) + 0.5)
        case 4: return .string(randomText(&random))
        case 5:
            return .array(
                (0..<Int.random(in: 0...4, using: &random)).map { _ in randomValue(depth: depth + 1, &random) })
        default:
            let names = Set((0..<Int.random(in: 0...20, using: &random)).map { _ in randomText(&random) })
            return .object(names.map { JSON.Member($0, randomValue(depth: depth + 1, &random)) })
        }
    }

    private func randomText(_ random: inout SeededRandom) -> String {
        var scalars = String.UnicodeScalarView()
        for _ in 0..<Int.random(in: 0...8, using: &random) {
            let code = UInt32.random(in: 0...0x10FFFF, using: &random) >> UInt32.random(in: 0...20, using: &random)
            if let scalar = Unicode.Scalar(code) { scalars.append(scalar) }
        }
        return String(scalars)
    }
}
