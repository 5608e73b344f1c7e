package import ApusModel
internal import Glibc
package import NIOSSL

/// Files with certificates and keys, read whole: they are small.
package enum PEMFile {
    private static let bytesMax = 4 << 20

    package static func certificates(_ path: String) throws(ApusError) -> [NIOSSLCertificate] {
        let (bytes, _) = try read(path)
        do {
            let certificates = try NIOSSLCertificate.fromPEMBytes(bytes)
            guard !certificates.isEmpty else { throw NIOSSLError.failedToLoadCertificate }
            return certificates
        } catch {
            throw ApusError(
                .tlsFailed, "\(path) has no certificate that can be read",
                hint: "It has to be PEM: text with a line -----BEGIN CERTIFICATE-----.")
        }
    }

    package static func privateKey(_ path: String) throws(ApusError) -> (key: NIOSSLPrivateKey, isReadableByAll: Bool) {
        let (bytes, mode) = try read(path)
        do {
            // Asked for a passphrase, it gives none: the library would ask the terminal.
            let key = try NIOSSLPrivateKey(bytes: bytes, format: .pem) { (give: ([UInt8]) -> Void) in give([]) }
            return (key, mode & S_IROTH != 0)
        } catch {
            let isEncrypted = String(decoding: bytes, as: UTF8.self).contains("ENCRYPTED")
            throw ApusError(
                .tlsFailed, isEncrypted ? "the key \(path) has a passphrase" : "\(path) has no key that can be read",
                hint: isEncrypted
                    ? "`openssl pkey -in \(path) -out FILE` writes it without one."
                    : "It has to be PEM: text with a line -----BEGIN PRIVATE KEY-----.")
        }
    }

    private static func read(_ path: String) throws(ApusError) -> (bytes: [UInt8], mode: mode_t) {
        // Never waits for a pipe's other end.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw failure(path, errno) }
        defer { close(descriptor) }
        var file = stat()
        guard fstat(descriptor, &file) == 0 else { throw failure(path, errno) }
        guard file.st_mode & S_IFMT == S_IFREG, file.st_size <= bytesMax else {
            throw ApusError(.tlsFailed, "\(path) is no file of at most \(bytesMax >> 20) MiB")
        }
        var bytes = [UInt8](repeating: 0, count: Int(file.st_size))
        let count = bytes.withUnsafeMutableBytes { readAll(descriptor, $0) }
        guard count >= 0 else { throw failure(path, errno) }
        return (Array(bytes[..<count]), file.st_mode)
    }

    private static func readAll(_ descriptor: CInt, _ bytes: UnsafeMutableRawBufferPointer) -> Int {
        var count = 0
        while count < bytes.count {
            let more = readSome(descriptor, UnsafeMutableRawBufferPointer(rebasing: bytes[count...]))
            if more < 0, errno == EINTR { continue }
            if more < 0 { return -1 }
            if more == 0 { break }
            count += more
        }
        return count
    }

    private static func failure(_ path: String, _ code: CInt) -> ApusError {
        ApusError(
            .tlsFailed, "cannot read \(path): \(String(cString: strerror(code)).lowercased())",
            hint: code == EACCES ? "The user that runs Apus has to be allowed to read it." : nil)
    }
}

private func readSome(_ descriptor: CInt, _ bytes: UnsafeMutableRawBufferPointer) -> Int {
    read(descriptor, bytes.baseAddress, bytes.count)
}
