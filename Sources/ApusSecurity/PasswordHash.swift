package import ApusModel
internal import Crypto
internal import CryptoExtras
internal import Foundation

/// A password as it is kept: Scrypt (RFC 7914) with its parameters and salt, written in PHC form,
/// `$scrypt$ln=15,r=8,p=1$SALT$HASH`, both parts base64 without padding.
package struct PasswordHash: Hashable, Sendable, CustomStringConvertible, CustomReflectable {
    /// What one check costs. Kept with each hash, so that a newer default leaves older ones valid.
    package struct Cost: Hashable, Sendable {
        /// The binary logarithm of N.
        package var logN: Int
        package var blockSize: Int
        package var parallelism: Int

        package init(logN: Int, blockSize: Int = 8, parallelism: Int = 1) {
            self.logN = logN
            self.blockSize = blockSize
            self.parallelism = parallelism
        }

        /// About 0.1 s of one core of the 2026 machine it was chosen on, and 32 MiB: a login is rare, a guess is not.
        package static let standard = Cost(logN: 15)

        /// Bytes of memory.
        package var memory: Int { 128 * blockSize << logN }
        /// A file cannot make a check take the machine's memory.
        private static let memoryMax = 256 << 20

        package var isAcceptable: Bool {
            (1...20).contains(logN) && (1...64).contains(blockSize) && (1...16).contains(parallelism)
                && memory <= Cost.memoryMax
        }
    }

    package let cost: Cost
    private let salt: [UInt8]
    private let hash: [UInt8]

    private static let saltBytes = 16
    private static let hashBytes = 32

    private init(cost: Cost, salt: [UInt8], hash: [UInt8]) {
        self.cost = cost
        self.salt = salt
        self.hash = hash
    }

    /// Takes as long as a check.
    ///
    /// - Throws: `internal` where there is no memory for it.
    package init(of password: Secret, cost: Cost = .standard) throws(ApusError) {
        let salt = RandomBytes.make(PasswordHash.saltBytes)
        self.init(cost: cost, salt: salt, hash: try PasswordHash.derive(password, salt: salt, cost))
    }

    /// A hash that no password has: checking against it takes as long as against a real one.
    package static func unmatchable(cost: Cost) -> PasswordHash {
        PasswordHash(cost: cost, salt: RandomBytes.make(saltBytes), hash: RandomBytes.make(hashBytes))
    }

    /// - Returns: nil where the text is no such hash, or its check would cost too much.
    package init?(phc text: String) {
        let parts = text.split(separator: "$", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 5, parts[0].isEmpty, parts[1] == "scrypt" else { return nil }
        let names = parts[2].split(separator: ",").map { $0.split(separator: "=", maxSplits: 1) }
        guard names.count == 3, names.map({ $0.first }) == ["ln", "r", "p"] else { return nil }
        let numbers = names.compactMap { $0.count == 2 ? Int($0[1]) : nil }
        guard numbers.count == 3 else { return nil }
        let cost = Cost(logN: numbers[0], blockSize: numbers[1], parallelism: numbers[2])
        guard cost.isAcceptable, let salt = Base64.decode(parts[3]), let hash = Base64.decode(parts[4]),
            (8...64).contains(salt.count), (16...64).contains(hash.count)
        else { return nil }
        self.init(cost: cost, salt: salt, hash: hash)
    }

    /// The text to keep.
    package var phc: String {
        let parameters = "ln=\(cost.logN),r=\(cost.blockSize),p=\(cost.parallelism)"
        return "$scrypt$\(parameters)$\(Base64.encode(salt))$\(Base64.encode(hash))"
    }

    /// Tells this hash from another one, and nothing else.
    package var fingerprint: String { Hex.encode(Array(SHA256.hash(data: Array(phc.utf8)).prefix(8))) }

    /// Takes as long for a wrong password as for the right one.
    ///
    /// - Throws: `internal` where there is no memory for it.
    package func matches(_ password: Secret) throws(ApusError) -> Bool {
        ConstantTime.equal(try PasswordHash.derive(password, salt: salt, bytes: hash.count, cost), hash)
    }

    private static func derive(
        _ password: Secret, salt: [UInt8], bytes: Int = hashBytes, _ cost: Cost
    ) throws(ApusError) -> [UInt8] {
        do {
            let key = try KDF.Scrypt.deriveKey(
                from: Array(password.revealed.utf8), salt: salt, outputByteCount: bytes, rounds: 1 << cost.logN,
                blockSize: cost.blockSize, parallelism: cost.parallelism, maxMemory: 2 * cost.memory + (1 << 20))
            return key.withUnsafeBytes { Array($0) }
        } catch {
            throw ApusError(.internalError, "a password cannot be checked: there is no memory for it")
        }
    }

    package var description: String { "(password hash)" }
    package var customMirror: Mirror { Mirror(self, children: [] as [Mirror.Child]) }
}

/// Comparing takes as long wherever two texts differ.
package enum ConstantTime {
    package static func equal(_ a: [UInt8], _ b: [UInt8]) -> Bool {
        guard a.count == b.count else { return false }
        return zip(a, b).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
    }
}

/// Random bytes of the system.
enum RandomBytes {
    static func make(_ count: Int) -> [UInt8] {
        var system = SystemRandomNumberGenerator()
        return (0..<count).map { _ in system.next() }
    }
}

/// Base64 (RFC 4648, section 4) without padding, as PHC strings have it.
enum Base64 {
    static func encode(_ bytes: [UInt8]) -> String {
        Data(bytes).base64EncodedString().replacingOccurrences(of: "=", with: "")
    }

    static func decode(_ text: String) -> [UInt8]? {
        guard !text.contains("=") else { return nil }
        let padded = text + String(repeating: "=", count: (4 - text.utf8.count % 4) % 4)
        return Data(base64Encoded: padded).map(Array.init)
    }
}

enum Hex {
    static func encode(_ bytes: [UInt8]) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}
