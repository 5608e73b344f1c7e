internal import ApusModel
internal import ApusServer
internal import ArgumentParser

/// The certificates of the listeners that speak TLS: those written `apuss://`.
struct ListenerOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The broker's certificate (PEM), followed by those that lead to an authority: for --listen apuss://HOST:PORT.",
            valueName: "file"))
    var tlsCert: String?

    @Option(help: ArgumentHelp("The key of --tls-cert (PEM).", valueName: "file"))
    var tlsKey: String?

    @Option(
        help: ArgumentHelp(
            "Demand a certificate of each client, signed by an authority in this file (PEM).", valueName: "file"))
    var tlsClientCa: String?

    /// - Throws: `usage` where listeners and certificates do not fit together.
    func listeners(_ addresses: [ListenAddress], allowsAnonymous: Bool) throws(ApusError) -> [ListenerConfiguration] {
        let files = try files()
        guard files == nil || addresses.contains(where: \.isTLS) else {
            throw ApusError(
                .usage, "--tls-cert is given, and no listener speaks TLS", hint: "Say --listen apuss://HOST:PORT.")
        }
        return try addresses.map { (address) throws(ApusError) in
            let listener = ListenerConfiguration(
                address, tls: address.isTLS ? files : nil, allowsAnonymous: allowsAnonymous)
            try listener.check()
            return listener
        }
    }

    private func files() throws(ApusError) -> TLSConfigurationFiles? {
        guard let tlsCert, let tlsKey else {
            guard tlsCert == nil, tlsKey == nil, tlsClientCa == nil else {
                throw ApusError(.usage, "--tls-cert and --tls-key belong together")
            }
            return nil
        }
        return TLSConfigurationFiles(
            certificate: tlsCert, key: tlsKey, clientCA: tlsClientCa,
            clientCertificates: tlsClientCa == nil ? .none : .require)
    }
}
