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
    /// - Returns: what is usable, and yet not as it should be.
    /// - Throws: `tls-failed`, naming the file and what is wrong with it; `usage` as ``check()``.
    package func test() throws(ApusError) -> [Warning] {
        let material = try load()
        _ = try context(material)
        return warnings(material)
    }

    /// What the files hold.
    struct Material: Hashable {
        let chain: [NIOSSLCertificate]
        let key: NIOSSLPrivateKey
        let isKeyReadableByAll: Bool
        let authorities: [NIOSSLCertificate]?
    }

    /// - Throws: as ``test()``.
    func load() throws(ApusError) -> Material {
        try check()
        let chain = try PEMFile.certificates(certificate)
        let keyFile = try PEMFile.privateKey(key)
        var authorities: [NIOSSLCertificate]?
        if let clientCA { authorities = try PEMFile.certificates(clientCA) }
        return Material(
            chain: chain, key: keyFile.key, isKeyReadableByAll: keyFile.isReadableByAll, authorities: authorities)
    }

    /// - Throws: as ``test()``.
    func context(_ material: Material) throws(ApusError) -> NIOSSLContext {
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: material.chain.map { .certificate($0) }, privateKey: .privateKey(material.key))
        configuration.minimumTLSVersion = .tlsv12
        // A peer that has gone is not waited for to take its leave.
        configuration.shutdownTimeout = NativeHandler.lingerTime
        if let authorities = material.authorities {
            configuration.trustRoots = .certificates(authorities)
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

    package struct Warning: Hashable, Sendable {
        package let what: String
        package let file: String
        /// Of a certificate: the last moment of its time.
        package var until: String?

        package func log(to logger: Logger) {
            var metadata: Logger.Metadata = ["file": "\(file)"]
            if let until { metadata["until"] = "\(until)" }
            logger.warning("\(what)", metadata: metadata)
        }
    }

    func warnings(_ material: Material) -> [Warning] {
        var warnings: [Warning] = []
        if material.isKeyReadableByAll {
            warnings.append(Warning(what: "everybody on this machine may read the private key", file: key))
        }
        let now = time(nil)
        for certificate in material.chain {
            let what: String
            if certificate.notValidAfter < now {
                what = "a certificate has expired; clients will refuse it"
            } else if certificate.notValidBefore > now {
                what = "a certificate is not valid yet; clients will refuse it"
            } else if certificate.notValidAfter - now < TLSConfigurationFiles.noticeSeconds {
                what = "a certificate expires soon"
            } else {
                continue
            }
            let end = Timestamp.text(Microseconds(certificate.notValidAfter) * 1_000_000)
            warnings.append(Warning(what: what, file: self.certificate, until: end))
        }
        return warnings
    }

    /// Two weeks.
    private static let noticeSeconds = 14 * 86_400
}
