package import ApusModel

/// Everybody whom the broker knows: the content of a users file.
package struct Users: Hashable, Sendable {
    package struct User: Hashable, Sendable {
        /// nil: it logs in with tokens or certificates only.
        package var password: PasswordHash?
        package var tokens: [TokenRecord] = []
        /// Subjects of client certificates that are this user.
        package var certificates: [String] = []
        package var rights = RightsTemplate()

        package init() {}
    }

    package struct TokenRecord: Hashable, Sendable {
        package var id: String
        package var hash: String
        /// What it is for.
        package var note: String?
        package var created: Microseconds?
        /// nil for never.
        package var expires: Microseconds?

        package init(
            id: String, hash: String, note: String? = nil, created: Microseconds? = nil, expires: Microseconds? = nil
        ) {
            self.id = id
            self.hash = hash
            self.note = note
            self.created = created
            self.expires = expires
        }

        package func isExpired(at now: Microseconds) -> Bool { expires.map { $0 <= now } ?? false }
    }

    package var users: [String: User] = [:]
    /// What somebody without a login may do, where a listener lets one in.
    package var anonymous: RightsTemplate?

    package init() {}

    /// Stands for whoever gives no name, on the command line.
    package static let anonymousName = "anonymous"
    private static let nameBytesMax = 255

    /// - Throws: `invalid-field`, saying what is wrong with the name.
    package static func check(name: String) throws(ApusError) {
        func fault(_ what: String) -> ApusError {
            ApusError(
                .invalidField, "the user name \"\(String(name.prefix(80)))\" \(what)",
                hint:
                    "It has 1 to \(nameBytesMax) bytes; not '/', '+', '#', ':', control characters, nor '$' at its beginning."
            )
        }
        guard (1...nameBytesMax).contains(name.utf8.count) else { throw fault("has \(name.utf8.count) bytes") }
        guard !name.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) else {
            throw ApusError(.invalidField, "the user name contains a control character")
        }
        // %u stands for it.
        guard FilterPattern.isSafe(name) else { throw fault("cannot stand in a filter") }
        // RFC 7617, 2: what is behind the first one is the password.
        guard !name.contains(":") else { throw fault("has a colon, which would end it in HTTP") }
        guard name != anonymousName else { throw fault("stands for everybody without a login") }
    }

    /// Else it would be chance who logs in with it.
    ///
    /// - Throws: `usage`, where a certificate is that of two users, or is written as no certificate's name is read.
    package func checkCertificates() throws(ApusError) {
        var holders: [String: String] = [:]
        for (name, user) in users {
            for certificate in user.certificates {
                if certificate.lowercased().hasPrefix("cn=") {
                    throw ApusError(
                        .usage, "\"\(certificate.shown)\" is no name of a certificate",
                        hint: "Write \(certificate.dropFirst(3).shown): the common name alone.")
                }
                if let other = holders.updateValue(name, forKey: certificate), other != name {
                    let names = [name, other].sorted().joined(separator: " and ")
                    throw ApusError(.usage, "two users, \(names), have the certificate \"\(certificate.shown)\"")
                }
            }
        }
    }

    /// By the token's id.
    package func holder(ofToken id: String) -> (user: String, record: TokenRecord)? {
        for (name, user) in users {
            if let record = user.tokens.first(where: { $0.id == id }) { return (name, record) }
        }
        return nil
    }
}
