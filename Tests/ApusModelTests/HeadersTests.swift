import ApusModel
import Testing

@Suite("Headers")
struct HeadersTests {
    @Test("are an object where all names differ, an array of pairs where one repeats, in their order")
    func form() throws {
        #expect(Headers().json.text == "{}")
        #expect((["b": "1", "a": "2"] as Headers).json.text == #"{"b":"1","a":"2"}"#)
        let repeated = Headers([.init("a", "1"), .init("b", "2"), .init("a", "3")])
        #expect(repeated.json.text == #"[["a","1"],["b","2"],["a","3"]]"#)
    }

    @Test("are read from both forms, with their order", arguments: [#"{"b":"1","a":""}"#, #"[["b","1"],["a",""]]"#])
    func read(_ text: String) throws {
        let headers = try Headers(json: try JSONParser.parse(text))
        #expect(headers.pairs == [.init("b", "1"), .init("a", "")])
        #expect(headers["a"] == "" && headers["b"] == "1" && headers["c"] == nil)
    }

    @Test("give the first value of a name that repeats")
    func first() throws {
        let headers = try Headers(json: try JSONParser.parse(#"[["a","1"],["a","2"]]"#))
        #expect(headers["a"] == "1")
        #expect(headers.pairs.count == 2)
    }

    @Test("survive being written and read", arguments: [[], [("a", "1")], [("a", "1"), ("a", "1")], [("", "\0\"")]])
    func roundTrip(_ pairs: [(String, String)]) throws {
        let headers = Headers(pairs.map { .init($0.0, $0.1) })
        #expect(try Headers(json: try JSONParser.parse(headers.json.bytes.asText)) == headers)
    }

    @Test(
        "hold texts only",
        arguments: [
            "1", "null", "\"a\"", "true", #"{"a":1}"#, #"{"a":null}"#, #"{"a":["b"]}"#, #"[["a"]]"#,
            #"[["a","b","c"]]"#, #"[["a",1]]"#, #"[[1,"a"]]"#, #"["a","b"]"#, #"[{"a":"b"}]"#, "[[]]",
        ])
    func refuses(_ text: String) throws {
        let json = try JSONParser.parse(text)
        #expect(code { () throws(ApusError) in _ = try Headers(json: json) } == .invalidField)
    }
}

extension [UInt8] {
    fileprivate var asText: String { String(decoding: self, as: UTF8.self) }
}
