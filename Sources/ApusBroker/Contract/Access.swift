package import ApusModel

/// What a peer says about who it is.
package struct Credentials: Sendable {
    package var user: String?
    package var password: Secret?
    package var token: Secret?
    /// The subject of a client certificate that was verified.
    package var certificateName: String?
    /// Without the port.
    package var peerAddress: String
    /// What `%c` stands for; nil where the door knows none.
    package var clientID: String?

    package init(
        user: String? = nil, password: String? = nil, token: String? = nil, certificateName: String? = nil,
        peerAddress: String = "", clientID: String? = nil
    ) {
        self.user = user
        self.password = Secret(optional: password)
        self.token = Secret(optional: token)
        self.certificateName = certificateName
        self.peerAddress = peerAddress
        self.clientID = clientID
    }

    /// Whether nothing was said: an anonymous peer.
    package var isEmpty: Bool { user == nil && password == nil && token == nil && certificateName == nil }
}

/// Somebody whom the broker knows, and what that one may do.
package struct Identity: Sendable, Hashable {
    /// Empty for an anonymous peer.
    package var user: String
    package var rights: Rights
    /// What `%c` was filled in with.
    package var clientID: String?
    /// Tells what it logged in with from what replaced that later; means nothing to the broker.
    package var proof: String
    /// When what it logged in with ends; nil for never.
    package var expiresAt: Microseconds?

    package init(
        user: String, rights: Rights, clientID: String? = nil, proof: String = "", expiresAt: Microseconds? = nil
    ) {
        self.user = user
        self.rights = rights
        self.clientID = clientID
        self.proof = proof
        self.expiresAt = expiresAt
    }

    package var isAnonymous: Bool { user.isEmpty }

    /// Of a broker without users.
    package static let everybody = Identity(user: "", rights: .everything)
}

/// The port to whatever knows the users. Every method may be called from any thread.
package protocol AccessControl: AnyObject, Sendable {
    /// No users are configured: everybody may do everything, and nobody is asked.
    var isOpen: Bool { get }

    /// Finds out who it is. Blocks for as long as it takes to check a password: never on an event loop, but where
    /// the credentials are empty.
    ///
    /// - Throws: `not-allowed`, with one text for everything that is wrong with what was said.
    func authenticate(_ credentials: Credentials) throws(ApusError) -> Identity

    /// Why a login failed, for the broker's log: what its peer is not told. nil where there is nothing to add. Names
    /// users and tokens that there are, never what was sent in their place.
    func explain(_ credentials: Credentials) -> String?

    /// Who it is after a reload, with no client id; nil where the user is gone. The empty name is an anonymous peer.
    func identity(of user: String) -> Identity?

    /// The same identity with the rights of now. Does not block.
    ///
    /// - Throws: `not-allowed`, saying why: the user is gone, what it logged in with was replaced or has expired.
    func renewed(_ identity: Identity) throws(ApusError) -> Identity

    /// Raised by each reload.
    var generation: UInt64 { get }
}

extension AccessControl {
    package func explain(_ credentials: Credentials) -> String? { nil }

    package func renewed(_ identity: Identity) throws(ApusError) -> Identity {
        guard let renewed = self.identity(of: identity.user) else {
            throw ApusError(.notAllowed, "the user was removed")
        }
        return renewed
    }
}

/// A broker without users.
package final class OpenAccess: AccessControl {
    package init() {}

    package var isOpen: Bool { true }
    package var generation: UInt64 { 0 }
    package func authenticate(_ credentials: Credentials) -> Identity { .everybody }
    package func identity(of user: String) -> Identity? { .everybody }
}
