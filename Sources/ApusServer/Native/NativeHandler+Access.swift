// Between stations 2 and 3. Runs on the connection's event loop. In: a hello with credentials, an identity, news that the
// users changed. Out: what the connection may do from here on.

internal import ApusBroker
internal import ApusModel
internal import ApusWire
internal import Logging
internal import NIOCore

extension NativeHandler {
    private var access: any AccessControl { shared.logins.access }

    /// Nothing more is read until it is known who it is.
    func authenticate(_ hello: Hello) {
        let credentials = credentials(hello)
        guard credentials.password != nil || credentials.token != nil || credentials.certificateName != nil else {
            // A name without a proof is no login, and not anonymous either.
            let isAnonymous = guest.admittance == .anonymous && credentials.user == nil
            return isAnonymous
                ? admit(Guest.anonymous(access)) : perform(session.authenticationFailed(NativeSession.loginRequired))
        }
        pauses.insert(.login)
        let bound = NIOLoopBound(self, eventLoop: shared.loop)
        shared.logins.authenticate(credentials, on: shared.loop) { bound.value.authenticated($0) }
    }

    private func credentials(_ hello: Hello) -> Credentials {
        var credentials = Credentials(
            user: hello.user, certificateName: origin.certificateName, peerAddress: origin.peerAddress,
            clientID: hello.clientID ?? session.madeUpClientID)
        credentials.password = hello.password
        credentials.token = hello.token
        return credentials
    }

    private func authenticated(_ result: Result<Identity, ApusError>) {
        guard context != nil else { return }
        switch result {
        case .failure(let error):
            perform(session.authenticationFailed(error))
        case .success(let identity):
            // The users may have changed since it was looked at.
            do throws(ApusError) {
                admit(try access.renewed(identity))
            } catch {
                perform(session.authenticationFailed(error))
            }
        }
        flush()
        resume(.login)
    }

    private func admit(_ identity: Identity) {
        guest.identity = identity
        inbound.builder.rights = identity.rights.publish
        if !identity.isAnonymous {
            logger[metadataKey: "user"] = "\(identity.user)"
            logger.info("logged in", metadata: identity.clientID.map { ["client": "\($0.shown)"] } ?? [:])
        }
        perform(session.authenticated(as: identity.user, check: loginCheck(identity)))
    }

    // MARK: Changes

    /// The users were read again.
    package func accessChanged() {
        guard context != nil, guest.admittance != .everybody, !session.isFinishing else { return }
        // Whoever is logging in at this moment is looked at when that is done.
        guard !session.isAuthenticating else { return }
        renewLogin()
        flush()
        armTimer()
    }

    /// What holds of its login now.
    func renewLogin() {
        guard !guest.identity.isAnonymous else {
            if guest.admittance == .anonymous { apply(Guest.anonymous(access)) }
            return
        }
        do throws(ApusError) {
            let identity = try access.renewed(guest.identity)
            session.loginHolds(check: loginCheck(identity))
            apply(identity)
        } catch {
            logger.info("the login has ended", metadata: ["reason": "\(error.message)"])
            submit()
            endReading()
            finish(session.fail(error))
        }
    }

    /// Publishes are checked by the new rights from the next one on; what is being read goes on with what is left of it.
    private func apply(_ identity: Identity) {
        guard identity != guest.identity else { return }
        guest.identity = identity
        inbound.builder.rights = identity.rights.publish
        for (number, asked) in guest.subscriptions {
            guard let subscription = subscriptions[number] else { continue }
            if let filters = asked.restricted(to: identity.rights.subscribe) {
                shared.hub.change(subscription, to: filters)
            } else {
                shared.hub.unsubscribe(subscription)
                failed(subscription, Guest.mayNotRead)
            }
        }
        for (number, asked) in guest.queries {
            guard let query = queries[number] else { continue }
            // Its pages are bound to what it began with. A query can be asked again.
            if Guest.selection(for: asked, identity.rights) != query.selection { query.fail(Guest.rightsChanged) }
        }
    }

    /// The wall clock may be set: it is looked at once a minute at least.
    private static let loginCheckSeconds: Int64 = 60

    private func loginCheck(_ identity: Identity) -> NIODeadline? {
        guard let expiresAt = identity.expiresAt else { return nil }
        let left = max(0, expiresAt - shared.clock())
        return .now() + .microseconds(min(left, NativeHandler.loginCheckSeconds * 1_000_000) + 1_000)
    }
}
