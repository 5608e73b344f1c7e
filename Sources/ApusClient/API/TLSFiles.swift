/// The files of a client's TLS, PEM all of them. They are read when the client is made. Without `apuss://` they do
/// nothing.
public struct TLSFiles: Sendable, Hashable {
    /// The authorities that a broker's certificate may be signed by; nil: those of the system.
    public var authorities: String?
    /// The certificate that says who this client is, followed by those that lead from it to an authority the broker trusts.
    public var certificate: String?
    /// The key that belongs to ``certificate``; nil: it stands in the same file.
    public var key: String?

    public init(authorities: String? = nil, certificate: String? = nil, key: String? = nil) {
        self.authorities = authorities
        self.certificate = certificate
        self.key = key
    }
}
