import ApusModel
import ApusWire
import NIOCore
import Testing

@Suite("The test vectors")
struct VectorTests {
    @Test("are there, in good number, under names of their own")
    func areThere() {
        #expect(Vectors.frames.count >= 50)
        #expect(Vectors.accepted.count >= 30)
        #expect(Vectors.refused.count >= 150)
        let names = Vectors.frames.map(\.name) + Vectors.accepted.map(\.name) + Vectors.refused.map(\.name)
        #expect(Set(names).count == names.count)
        for vector in Vectors.inputs { #expect(!vector.bytes.isEmpty, "\(vector.name) has no bytes") }
    }

    @Test("show every kind in both ways")
    func showEveryKind() {
        let shown = Set(Vectors.frames.map { $0.frame.split(separator: "\"kind\":\"").last?.prefix { $0 != "\"" } })
        #expect(shown == Set(Kind.allCases.map { Substring($0.name) }))
    }

    @Test("mean the same as JSON and compact", arguments: Vectors.frames)
    func meanTheSame(_ vector: FrameVector) {
        #expect(read(vector.json) == Reading(frames: [vector.frame]))
        #expect(read(vector.compact) == Reading(frames: [vector.frame]))
        #expect(Array(vector.json.dropFirst(2).prefix(vector.jsonHeader.utf8.count)) == Array(vector.jsonHeader.utf8))
    }

    @Test("are what Apus writes", arguments: Vectors.frames)
    func areWritten(_ vector: FrameVector) throws {
        let frame = try #require(try frames(vector.compact).first)
        if vector.writes.contains("json") { #expect(try rewrite(frame, .json).map(hex) == hex(vector.json)) }
        if vector.writes.contains("compact") { #expect(try rewrite(frame, .compact).map(hex) == hex(vector.compact)) }
    }

    @Test("of the unusual are accepted", arguments: Vectors.accepted)
    func accepted(_ vector: AcceptedVector) {
        #expect(read(vector.bytes) == Reading(frames: vector.frames))
    }

    @Test("of the faulty are refused", arguments: Vectors.refused)
    func refused(_ vector: RefusedVector) throws {
        if let error = fatalError(vector.bytes, bounds: vector.bounds) {
            #expect(describe(error).sorted == vector.error.sorted)
            return
        }
        let members = try #require(vector.error.members)
        let invalid = JSON.object(members + [JSON.Member("kind", .string("invalid"))]).sorted
        if vector.isFatal {
            // A frame that can be read and yet ends the connection.
            #expect(read(vector.bytes, bounds: vector.bounds).frames == [invalid])
            return
        }
        // The connection goes on: what follows is read.
        let ping = jsonFrame(#"{"kind":"ping"}"#)
        #expect(read(vector.bytes + ping).frames == [invalid, #"{"kind":"ping"}"#])
    }

    @Test("give the same wherever the stream is cut", arguments: Vectors.inputs)
    func canBeCutAnywhere(_ vector: InputVector) {
        let whole = read(vector.bytes, bounds: vector.bounds)
        for cut in 0...vector.bytes.count {
            let pieces = [vector.bytes[..<cut], vector.bytes[cut...]]
            #expect(read(pieces, bounds: vector.bounds) == whole, "cut at \(cut)")
            #expect(read(pieces, bounds: vector.bounds, isInPlace: true) == whole, "cut at \(cut), read in place")
        }
        let single = vector.bytes.indices.map { vector.bytes[$0...$0] }
        #expect(read(single, bounds: vector.bounds) == whole, "byte by byte")
        #expect(read(single, bounds: vector.bounds, settles: false) == whole, "byte by byte, in one turn")
    }
}
