package import ApusModel
internal import ApusTLS
package import Logging
internal import NIOCore
internal import NIOSSL

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#elseif canImport(Darwin)
    internal import Darwin
#endif

/// The files that a listener's TLS is made of, PEM all of them.
package struct TLSConfigurationFiles: Sendable, Hashable {
    /// What the broker wants to see of a client.
    package enum ClientCertificates: String, Sendable, CaseIterable {
        case none
        /// One that is shown has to be good; none is shown is good too.
        case request
        case require
    }

    /// The broker's certificate, followed by those that lead from it to an authority.
    package var certificate: String
    package var key: String
    /// Whom the certificates of clients must be signed by.
    package var clientCA: String?
    package var clientCertificates = ClientCertificates.none

    package init(
        certificate: String, key: String, clientCA: String? = nil, clientCertificates: ClientCertificates = .none
    ) {
        self.certificate = certificate
        self.key = key
        self.clientCA = clientCA
        self.clientCertificates = clientCertificates
    }

    /// - Throws: `usage` where parts contradict each other. Reads no file.
    package func check() throws(ApusError) {
        guard clientCertificates == .none || clientCA != nil else {
            throw ApusError(
                .usage, "client-certificates is \(clientCertificates.rawValue), and there is no client-ca",
                hint: "Name the file with the authorities that sign your clients' certificates.")
        }
        guard clientCertificates != .none || clientCA == nil else {
            throw ApusError(
                .usage, "there is a client-ca, and client-certificates is none",
                hint: "Say client-certificates: require, or request.")
        }
    }

    /// Reads the files and tries them together, to say now what would be wrong with them later. Blocks on the disk.
    ///
    /// - Throws: `tls-failed`, naming the file and what is wrong with it; `usage` as ``check()``.
    package func test(_ logger: Logger) throws(ApusError) { _ = try load(logger) }

    /// - Throws: as ``test(_:)``.
    func load(_ logger: Logger) throws(ApusError) -> NIOSSLContext {
        try check()
        let chain = try PEMFile.certificates(certificate)
        let keyFile = try PEMFile.privateKey(key)
        if keyFile.isReadableByAll {
            logger.warning("everybody on this machine may read the private key", metadata: ["file": "\(key)"])
        }
        warn(of: chain, logger)
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(keyFile.key))
        configuration.minimumTLSVersion = .tlsv12
        // A peer that has gone is not waited for to take its leave.
        configuration.shutdownTimeout = NativeHandler.lingerTime
        if let clientCA {
            configuration.trustRoots = .certificates(try PEMFile.certificates(clientCA))
            configuration.certificateVerification =
                clientCertificates == .require ? .noHostnameVerification : .optionalVerification
            configuration.sendCANameList = true
        }
        do {
            return try NIOSSLContext(configuration: configuration)
        } catch {
            throw ApusError(
                .tlsFailed, "the key \(key) does not belong to the certificate \(certificate)",
                hint: "The certificate that belongs to the key stands first in its file. (\(TLSReason.text(error)))")
        }
    }

    private func warn(of chain: [NIOSSLCertificate], _ logger: Logger) {
        let now = time(nil)
        for certificate in chain {
            let end = Timestamp.text(Microseconds(certificate.notValidAfter) * 1_000_000)
            let metadata: Logger.Metadata = ["file": "\(self.certificate)", "until": "\(end)"]
            if certificate.notValidAfter < now {
                logger.warning("a certificate has expired; clients will refuse it", metadata: metadata)
            } else if certificate.notValidBefore > now {
                logger.warning("a certificate is not valid yet; clients will refuse it", metadata: metadata)
            } else if certificate.notValidAfter - now < TLSConfigurationFiles.noticeSeconds {
                logger.warning("a certificate expires soon", metadata: metadata)
            }
        }
    }

    /// Two weeks.
    private static let noticeSeconds = 14 * 86_400
}
