import ApusModel
import ApusTesting
import CApus
import Testing

@Suite("CRC-32C")
struct ChecksumTests {
    static let known: [(name: String, bytes: [UInt8], checksum: UInt32)] = [
        ("nothing", [], 0),
        ("the digits", Array("123456789".utf8), 0xE306_9283),
        // RFC 3720, appendix B.4.
        ("32 bytes of zeros", Array(repeating: 0, count: 32), 0x8A91_36AA),
        ("32 bytes of ones", Array(repeating: 0xFF, count: 32), 0x62A8_AB43),
        ("32 bytes counting up", Array(0..<32), 0x46DD_794E),
        ("32 bytes counting down", (0..<32).reversed(), 0x113F_DB5C),
        ("one letter", Array("a".utf8), 0xC1D0_4330),
    ]

    @Test("has the values of RFC 3720", arguments: known.indices)
    func knownVectors(_ index: Int) {
        let vector = ChecksumTests.known[index]
        #expect(Checksum.of(vector.bytes) == vector.checksum, "\(vector.name)")
        #expect(capus_crc32c_portable(0, vector.bytes, vector.bytes.count) == vector.checksum, "\(vector.name)")
    }

    @Test("is the same by the processor's instruction and without it")
    func hardwareIsPortable() {
        var random = SeededRandom(seed: 11)
        let bytes = (0..<1_100).map { _ in UInt8.random(in: .min ... .max, using: &random) }
        bytes.withUnsafeBytes { bytes in
            // All lengths around the width of a word, at all alignments.
            for start in 0..<9 {
                for length in Array(0...40) + [255, 256, 257, 1_024, 1_090] {
                    let piece = UnsafeRawBufferPointer(rebasing: bytes[start..<(start + length)])
                    let state = UInt32.random(in: .min ... .max, using: &random)
                    #expect(
                        capus_crc32c(state, piece.baseAddress, length)
                            == capus_crc32c_portable(state, piece.baseAddress, length))
                }
            }
        }
    }

    @Test("of the pieces is that of the whole")
    func continues() {
        let text = "Apus apus, the common swift"
        for cut in 0...text.utf8.count {
            let first = Checksum.of(Array(text.utf8.prefix(cut)))
            #expect(Checksum.of(Array(text.utf8.dropFirst(cut)), continuing: first) == Checksum.of(text))
        }
    }
}
