import ApusModel
import ApusSecurity
import Testing

@Suite("Passwords and tokens")
struct PasswordTests {
    private static let cheap = PasswordHash.Cost(logN: 4)

    @Test("are hashed with a salt of their own, and only the right one matches")
    func hashes() throws {
        let hash = try PasswordHash(of: "correct horse", cost: PasswordTests.cheap)
        let again = try PasswordHash(of: "correct horse", cost: PasswordTests.cheap)
        #expect(hash != again)
        #expect(hash.fingerprint != again.fingerprint)
        #expect(try hash.matches("correct horse"))
        for wrong in ["correct hors", "Correct horse", "", "correct horse "] as [Secret] {
            #expect(try !hash.matches(wrong))
        }
        #expect(try !PasswordHash.unmatchable(cost: PasswordTests.cheap).matches(""))
    }

    @Test("come back from their PHC form, with their parameters")
    func phc() throws {
        let hash = try PasswordHash(of: "pässword", cost: .init(logN: 5, blockSize: 4, parallelism: 2))
        #expect(hash.phc.hasPrefix("$scrypt$ln=5,r=4,p=2$"))
        let read = try #require(PasswordHash(phc: hash.phc))
        #expect(read == hash)
        #expect(try read.matches("pässword"))
    }

    @Test("are Scrypt as RFC 7914 has it, section 12")
    func vectors() throws {
        let vectors: [(Secret, String)] = [
            (
                "pleaseletmein",
                "$scrypt$ln=14,r=8,p=1$U29kaXVtQ2hsb3JpZGU$cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofLVQylVYT8Pz2LUlwUkKpr55h6F3A1lHkDfzwF7RVdYhw"
            )
        ]
        for (password, phc) in vectors {
            let hash = try #require(PasswordHash(phc: phc))
            #expect(try hash.matches(password))
            #expect(try !hash.matches("wrong"))
        }
    }

    @Test(
        "in a form that is no PHC form, or that would take all memory, are none",
        arguments: [
            "", "password", "$2y$10$abcdefghijklmnopqrstuv", "$scrypt$ln=15,r=8,p=1$c2FsdA$aGFzaA",
            "$scrypt$ln=63,r=8,p=1$c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g",
            "$scrypt$ln=20,r=64,p=1$c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g",
            "$scrypt$ln=0,r=8,p=1$c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g",
            "$scrypt$ln=-1,r=8,p=1$c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g",
            "$scrypt$r=8,ln=4,p=1$c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g",
            "$scrypt$ln=4,r=8,p=1$!!!$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g",
            "$scrypt$ln=4,r=8,p=1$c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g$",
        ])
    func badForms(_ text: String) { #expect(PasswordHash(phc: text) == nil) }

    @Test("are in no description, and neither is what is kept of them")
    func redacted() throws {
        let hash = try PasswordHash(of: "hunter2", cost: PasswordTests.cheap)
        var dumped = ""
        dump(hash, to: &dumped)
        for text in ["\(hash)", String(reflecting: hash), dumped] {
            #expect(!text.contains("scrypt") && !text.contains("hunter2"), "\(text)")
        }
        #expect(!"\(Token().text)".contains("apus_"))
    }

    @Test("of 256 random bits are tokens: each another one, told by its id, checked by its hash")
    func tokens() throws {
        let tokens = (0..<100).map { _ in Token() }
        #expect(Set(tokens.map(\.id)).count == 100)
        for token in tokens {
            let text = token.text.revealed
            #expect(text.hasPrefix("apus_\(token.id)_"))
            #expect(text.utf8.count == 5 + 8 + 1 + 43)
            let read = try #require(Token(token.text))
            #expect(read.id == token.id && read.hash == token.hash)
            #expect(Token.isHash(token.hash))
            #expect(try #require(Token(Secret(text + "x"))).hash != token.hash)
        }
        for text in ["", "apus", "apus_", "apus__x", "apus_x_", "other_x_y", "apus_x"] as [Secret] {
            #expect(Token(text) == nil)
        }
    }

    @Test("are compared to the end")
    func constantTime() {
        #expect(ConstantTime.equal([1, 2, 3], [1, 2, 3]))
        for other in [[1, 2, 4], [0, 2, 3], [1, 2], [1, 2, 3, 4], []] as [[UInt8]] {
            #expect(!ConstantTime.equal([1, 2, 3], other))
        }
    }
}
