internal import NIOSSL

/// What the TLS library's errors mean, in words.
package enum TLSReason {
    /// The library's own words, without numbers and places in its source.
    package static func text(_ error: any Error) -> String {
        let reasons = reasons(error)
        if reasons.isEmpty { return "\(error)" }
        return reasons.map { $0.lowercased().replacing("_", with: " ") }.joined(separator: ", ")
    }

    /// For the broker's log: why a handshake failed.
    package static func handshake(_ error: any Error) -> String {
        let reasons = reasons(error)
        func has(_ part: String) -> Bool { reasons.contains { $0.contains(part) } }
        if has("HTTP_REQUEST") { return "the peer speaks HTTP" }
        if has("WRONG_VERSION_NUMBER") || has("UNEXPECTED_RECORD") || has("UNSUPPORTED_PROTOCOL") && reasons.count > 1 {
            return "the peer does not speak TLS"
        }
        if has("UNSUPPORTED_PROTOCOL") { return "the peer speaks no TLS 1.2 or newer" }
        if has("PEER_DID_NOT_RETURN_A_CERTIFICATE") { return "the peer has shown no certificate" }
        if has("CERTIFICATE_VERIFY_FAILED") { return "the peer's certificate is not trusted, or has expired" }
        if has("UNKNOWN_CA") { return "the peer does not trust this broker's certificate: unknown authority" }
        if has("ALERT_CERTIFICATE_EXPIRED") { return "the peer finds that this broker's certificate has expired" }
        if has("BAD_CERTIFICATE") { return "the peer does not accept this broker's certificate" }
        if case NIOSSLError.handshakeFailed(.sslError(let stack)) = error, stack == [.eofDuringHandshake] {
            return "the peer closed the connection during the handshake"
        }
        return text(error)
    }

    /// `error:100000f7:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER at …` gives its fifth part.
    package static func reasons(_ error: any Error) -> [String] {
        let stack: NIOBoringSSLErrorStack
        switch error {
        case NIOSSLError.handshakeFailed(let inner): return reasons(inner)
        case NIOSSLError.shutdownFailed(let inner): return reasons(inner)
        case BoringSSLError.sslError(let errors): stack = errors
        case BoringSSLError.unknownError(let errors): stack = errors
        default: return []
        }
        return stack.compactMap { error in
            let parts = error.description.split(separator: ":")
            guard parts.count >= 6, let reason = parts[5].split(separator: " ").first else { return nil }
            return String(reason)
        }
    }
}
