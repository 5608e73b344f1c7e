import ApusModel
import Foundation
import Testing

/// Test vectors: tables in JSON that a client in any language can check itself against.
/// docs/PROTOCOL.md, section 12, says what the columns mean.
enum Vectors {
    static let frames = load("frames").map(FrameVector.init)
    static let accepted = load("accepted").map(AcceptedVector.init)
    static let refused = load("refused").map(RefusedVector.init)

    /// Every input there is, good and bad.
    static let inputs: [InputVector] =
        frames.flatMap { [InputVector($0, "JSON", $0.json), InputVector($0, "compact", $0.compact)] }
        + accepted.map { InputVector(name: $0.name, bytes: $0.bytes, bounds: .test) }
        + refused.map { InputVector(name: $0.name, bytes: $0.bytes, bounds: $0.bounds) }

    static func load(_ name: String) -> [JSON] {
        do {
            guard let url = Bundle.module.url(forResource: "Vectors/\(name)", withExtension: "json") else { return [] }
            let data = try Data(contentsOf: url)
            let value = try data.withUnsafeBytes { bytes throws(ApusError) in try JSONParser.parse(bytes) }
            guard case .array(let items) = value else { return [] }
            return items
        } catch {
            Issue.record("Vectors/\(name).json: \(error)")
            return []
        }
    }
}

extension JSON {
    /// The member as text; empty where it is missing.
    func text(_ name: String) -> String {
        if case .string(let text) = self[name] { text } else { "" }
    }

    func list(_ name: String) -> [JSON] {
        if case .array(let items) = self[name] { items } else { [] }
    }

    func hexBytes(_ name: String) -> [UInt8] { decodeHex(text(name)) ?? [] }

    var members: [Member]? {
        if case .object(let members) = self { members } else { nil }
    }

    /// With the members in the order of their names, so that texts can be compared.
    var sorted: String {
        guard case .object(let members) = self else { return text }
        return JSON.object(members.sorted { $0.name < $1.name }).text
    }
}

protocol NamedVector: CustomTestStringConvertible, Sendable {
    var name: String { get }
}

extension NamedVector {
    var testDescription: String { name }
}

/// One frame in both ways.
struct FrameVector: NamedVector {
    let name: String
    let clause: String
    /// What it says, as ``describe(_:)`` gives it.
    let frame: String
    let jsonHeader: String
    let json: [UInt8]
    let compact: [UInt8]
    /// The ways in which Apus writes exactly these bytes.
    let writes: [String]

    init(_ value: JSON) {
        name = value.text("name")
        clause = value.text("clause")
        frame = value["frame"]?.sorted ?? ""
        jsonHeader = value.text("json-header")
        json = value.hexBytes("json")
        compact = value.hexBytes("compact")
        writes = value.list("writes").map { if case .string(let way) = $0 { way } else { "" } }
    }
}

/// Bytes that are unusual and yet fine.
struct AcceptedVector: NamedVector {
    let name: String
    let clause: String
    let bytes: [UInt8]
    let frames: [String]

    init(_ value: JSON) {
        name = value.text("name")
        clause = value.text("clause")
        bytes = value.hexBytes("hex")
        frames = value.list("frames").map(\.sorted)
    }
}

/// Bytes that are refused; where the error is fatal the stream cannot be read any further.
struct RefusedVector: NamedVector {
    let name: String
    let clause: String
    let bytes: [UInt8]
    let error: JSON
    let bounds: TestBounds

    var isFatal: Bool { error["fatal"] == .bool(true) }

    init(_ value: JSON) {
        name = value.text("name")
        clause = value.text("clause")
        bytes = value.hexBytes("hex")
        error = value["error"] ?? .null
        bounds =
            if let given = value["bounds"], case .integer(let header) = given["header"],
                case .integer(let content) = given["content"]
            {
                TestBounds(header: Int(header), content: Int(content))
            } else {
                .test
            }
    }
}

/// Any bytes at all.
struct InputVector: NamedVector {
    let name: String
    let bytes: [UInt8]
    let bounds: TestBounds

    init(name: String, bytes: [UInt8], bounds: TestBounds) {
        self.name = name
        self.bytes = bytes
        self.bounds = bounds
    }

    init(_ vector: FrameVector, _ way: String, _ bytes: [UInt8]) {
        self.init(name: "\(vector.name), \(way)", bytes: bytes, bounds: .test)
    }
}

/// Limits of a reader in a test.
struct TestBounds: Sendable {
    var header: Int
    var content: Int

    static let test = TestBounds(header: 65_535, content: 8 << 20)
}
