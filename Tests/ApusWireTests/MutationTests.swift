import ApusModel
import ApusTesting
import ApusWire
import NIOCore
import Testing

@Suite("Bytes that were damaged")
struct MutationTests {
    @Test("are read or refused, the same however they are cut, and never trapped on", arguments: 0..<8)
    func mutations(_ seed: Int) {
        var random = SeededRandom(seed: UInt64(seed))
        let seeds = Vectors.inputs.map(\.bytes).filter { $0.count < 1_000 }
        var refused = 0
        for _ in 0..<2_500 {
            let bytes = mutate(seeds.randomElement(using: &random) ?? [], seeds, &random)
            let whole = read(bytes)
            if whole.error != nil { refused += 1 }
            #expect(read(randomPieces(bytes, &random)) == whole, "\(hex(bytes))")
            #expect(read(randomPieces(bytes, &random), isInPlace: true) == whole, "in place, \(hex(bytes))")
        }
        #expect(refused > 100)
    }

    @Test("whose frames are whole can be written and read again")
    func rewrites() throws {
        var random = SeededRandom(seed: 99)
        let seeds = Vectors.frames.flatMap { [$0.json, $0.compact] }
        var rewritten = 0
        for _ in 0..<10_000 {
            let bytes = mutate(seeds.randomElement(using: &random) ?? [], seeds, &random)
            guard let frame = try? frames(bytes).first else { continue }
            for way in [Way.json, .compact] {
                guard let again = try? rewrite(frame, way) else { continue }
                let reading = read(again)
                #expect(reading.error == nil && reading.frames.count == 1 && !reading.isInsideFrame, "\(hex(bytes))")
                rewritten += 1
            }
        }
        #expect(rewritten > 1_000)
    }

    private func mutate(_ bytes: [UInt8], _ seeds: [[UInt8]], _ random: inout SeededRandom) -> [UInt8] {
        var bytes = bytes
        for _ in 0..<Int.random(in: 1...4, using: &random) where !bytes.isEmpty {
            let at = Int.random(in: 0..<bytes.count, using: &random)
            switch Int.random(in: 0..<7, using: &random) {
            case 0: bytes[at] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            case 1: bytes[at] = [0, 1, 0x7F, 0x80, 0xFF, 0x22, 0x5C, 0x7B, 0x2D].randomElement(using: &random) ?? 0
            case 2: bytes.remove(at: at)
            case 3: bytes.insert(UInt8(truncatingIfNeeded: random.next()), at: at)
            case 4: bytes.removeLast(bytes.count - at)
            case 5: bytes.insert(contentsOf: bytes[..<at], at: at)
            default: bytes += seeds.randomElement(using: &random) ?? []
            }
        }
        return bytes
    }

    private func randomPieces(_ bytes: [UInt8], _ random: inout SeededRandom) -> [ArraySlice<UInt8>] {
        var pieces: [ArraySlice<UInt8>] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            let piece = rest.prefix(Int.random(in: 1...40, using: &random))
            pieces.append(piece)
            rest = rest.dropFirst(piece.count)
        }
        return pieces
    }
}
