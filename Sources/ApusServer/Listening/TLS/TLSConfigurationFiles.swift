package import ApusModel
internal import ApusTLS
internal import Glibc
package import Logging
internal import NIOCore
internal import NIOSSL

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
    struct Material {
        let chain: [NIOSSLCertificate]
        let key: NIOSSLPrivateKey
        let authorities: [NIOSSLCertificate]?
        /// Of the file, not of what it holds.
        let isKeyReadableByAll: Bool

        func holdsTheSame(as other: Material) -> Bool {
            chain == other.chain && key == other.key && authorities == other.authorities
        }
    }

    /// - Throws: as ``test()``.
    func load() throws(ApusError) -> Material {
        try check()
        let chain = try PEMFile.certificates(certificate)
        let keyFile = try PEMFile.privateKey(key)
        var authorities: [NIOSSLCertificate]?
        if let clientCA { authorities = try PEMFile.certificates(clientCA) }
        return Material(
            chain: chain, key: keyFile.key, authorities: authorities, isKeyReadableByAll: keyFile.isReadableByAll)
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
                hint: "The certificate that belongs to the key stands first in its file.")
        }
    }

    package struct Warning: Hashable, Sendable {
        package let what: String
        package let file: String
        /// What to do about it.
        package let advice: String
        /// Whether nobody can connect as it is.
        package var isFailure = false

        package func log(to logger: Logger) { logger.warning("\(what)", metadata: ["file": "\(file)"]) }
    }

    func warnings(_ material: Material) -> [Warning] {
        var warnings: [Warning] = []
        if material.isKeyReadableByAll {
            warnings.append(
                Warning(
                    what: "everybody on this machine may read the private key", file: key, advice: "chmod o-r '\(key)'")
            )
        }
        warnings += material.chain.compactMap { warning($0, of: certificate, "clients will refuse it") }
        if let clientCA {
            let authorities = material.authorities ?? []
            warnings += authorities.compactMap { warning($0, of: clientCA, "whom it signed is refused") }
        }
        return warnings
    }

    private func warning(_ certificate: NIOSSLCertificate, of file: String, _ consequence: String) -> Warning? {
        func text(_ seconds: Int) -> String { Timestamp.text(Microseconds(seconds) * 1_000_000) }
        let (begin, end) = (certificate.notValidBefore, certificate.notValidAfter)
        let now = time(nil)
        let what: String
        var advice = "Put a new one in its place: the broker takes it over within a second or two, without a restart."
        if begin > now {
            what = "a certificate is not valid before \(text(begin)); \(consequence)"
            advice = "Is this machine's clock right? Else put another one in its place."
        } else if end < now {
            what = "a certificate expired on \(text(end)); \(consequence)"
        } else if end - now < TLSConfigurationFiles.noticeSeconds {
            what = "a certificate expires soon, on \(text(end))"
        } else {
            return nil
        }
        return Warning(what: what, file: file, advice: advice, isFailure: begin > now || end < now)
    }

    /// Two weeks.
    private static let noticeSeconds = 14 * 86_400
}
