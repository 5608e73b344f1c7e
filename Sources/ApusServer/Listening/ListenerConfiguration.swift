package import ApusModel

/// One way into the broker: where it listens, what it speaks, who may come in, and how many.
package struct ListenerConfiguration: Sendable, Hashable {
    package var address: BindAddress
    /// nil: no TLS.
    package var tls: TLSConfigurationFiles?
    /// Who may connect; empty is everybody. ``deny`` goes first.
    package var allow: [Network] = []
    package var deny: [Network] = []
    /// Whether other machines may reach it without anything that tells who they are.
    package var allowsAnonymous = false
    /// nil, here and below: as the limit of that name says for all listeners.
    package var connectionsMax: Int?
    package var connectionsPerAddressMax: Int?
    /// New connections a second of one address.
    package var connectRate: Int?
    /// 0: never.
    package var idleSeconds: Int?
    package var helloSeconds: Int?
    /// Where a publish without a topic goes; nil as the broker's configuration says for all listeners.
    package var defaultTopic: Topic?

    /// Whether nobody named it: `::1` is listened on by default where the machine has IPv6.
    package var isDefault = false

    package init(_ address: BindAddress, tls: TLSConfigurationFiles? = nil, allowsAnonymous: Bool = false) {
        self.address = address
        self.tls = tls
        self.allowsAnonymous = allowsAnonymous
    }

    /// Whether it demands something of a peer that tells who it is.
    var authenticates: Bool { tls?.clientCertificates == .require }

    /// Whether its IPv6 address may be missing: one that nobody named.
    var isContentWithIPv4: Bool { isDefault || address.isEveryInterface }

    /// - Throws: `usage` where parts contradict each other.
    package func check() throws(ApusError) {
        if case .unix = address, tls != nil {
            throw ApusError(.usage, "\(address) is a Unix socket, which needs no TLS")
        }
        try tls?.check()
    }
}

/// What a connection's door knows of where it comes from.
package struct ConnectionOrigin: Sendable {
    package let listener: ListenerConfiguration
    /// Numeric, without the port; `unix` and the user's number for a Unix socket.
    package let peerAddress: String
    /// Whether it comes from this machine, over loopback or a Unix socket.
    package let isLocal: Bool
    /// The subject of the client's certificate; nil where it showed none.
    package var certificateName: String?

    package init(
        listener: ListenerConfiguration, peerAddress: String, isLocal: Bool, certificateName: String? = nil
    ) {
        self.listener = listener
        self.peerAddress = peerAddress
        self.isLocal = isLocal
        self.certificateName = certificateName
    }
}
