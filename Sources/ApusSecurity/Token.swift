package import ApusModel
internal import Crypto

/// What a program logs in with instead of a password: `apus_ID_SECRET`. It has 256 random bits, so a plain hash of it
/// is enough; it is shown once and never kept.
package struct Token: Sendable {
    /// Names it in the users file and on the command line; no secret.
    package let id: String
    private let secret: String

    private static let prefix = "apus"
    private static let secretBytes = 32

    package init() {
        id = String(RandomBytes.make(8).map { Token.letters[Int($0 % 32)] })
        secret = Base64.encode(RandomBytes.make(Token.secretBytes)).replacingBase64ForURLs
    }

    /// - Returns: nil where it is no token.
    package init?(_ text: Secret) {
        let parts = text.revealed.split(separator: "_", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3, parts[0] == Token.prefix, !parts[1].isEmpty, !parts[2].isEmpty else { return nil }
        (id, secret) = (String(parts[1]), String(parts[2]))
    }

    /// The whole text, for whoever is to use it.
    package var text: Secret { Secret("\(Token.prefix)_\(id)_\(secret)") }

    /// What is kept of it.
    package var hash: String { "sha256:" + Hex.encode(Array(SHA256.hash(data: Array(secret.utf8)))) }

    package static func isHash(_ text: String) -> Bool {
        text.hasPrefix("sha256:") && text.utf8.count == 71
            && text.utf8.dropFirst(7).allSatisfy { "0123456789abcdef".utf8.contains($0) }
    }

    /// 32 of them, none like another.
    private static let letters = Array("abcdefghijkmnpqrstuvwxyz23456789")
}

extension String {
    fileprivate var replacingBase64ForURLs: String {
        String(map { $0 == "+" ? "-" : $0 == "/" ? "_" : $0 })
    }
}
