package import ApusBroker
internal import ApusModel

extension Broker {
    /// Whether somebody who is no connection may see what `status` shows.
    package enum Sight: Sendable {
        case granted
        /// Nobody, or somebody unknown.
        case unknown
        /// Somebody who lacks the right `admin`.
        case refused
    }

    /// The broker's users decide, by the same rules and as slowly as at the native door.
    ///
    /// - Parameter allowsAnonymous: whether the door lets in who does not log in, with the rights of such.
    package func sight(for credentials: Credentials, allowsAnonymous: Bool) async -> Sight {
        let access = figures.logins.access
        if access.isOpen { return .granted }
        guard credentials.password != nil || credentials.token != nil else {
            let isAllowed = allowsAnonymous && credentials.user == nil
            return isAllowed && access.identity(of: "")?.rights.isAdmin == true ? .granted : .unknown
        }
        guard let loop = figures.board.anyLoop else { return .unknown }
        do throws(ApusError) {
            let identity = try await figures.logins.authenticate(credentials, on: loop)
            return try access.renewed(identity).rights.isAdmin ? .granted : .refused
        } catch {
            return .unknown
        }
    }
}
