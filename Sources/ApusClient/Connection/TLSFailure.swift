internal import ApusModel
internal import ApusTLS
internal import Glibc
internal import NIOSSL

/// Why a client and a broker do not come together over TLS, and what to do.
enum TLSFailure {
    static let authorityHint =
        "Where the certificate is signed by an authority of your own, name its file: --ca FILE, or APUS_CA."

    /// - Parameter certificate: what the broker has shown, if it came to that.
    static func handshake(_ error: any Error, _ endpoint: Endpoint, _ certificate: NIOSSLCertificate?) -> ApusError {
        let place = "\(endpoint)"
        if let error = error as? NIOSSLExtraError, error == .failedToValidateHostname {
            return ApusError(
                .tlsFailed, "the certificate of \(place) is not for \(endpoint.host ?? "")\(names(certificate))",
                hint: "Connect by a name that the certificate is for.")
        }
        let reasons = TLSReason.reasons(error)
        func has(_ part: String) -> Bool { reasons.contains { $0.contains(part) } }
        if has("CERTIFICATE_VERIFY_FAILED") { return untrusted(place, certificate) }
        if let refused = refusal(error) { return refused }
        if has("WRONG_VERSION_NUMBER") || has("HTTP_REQUEST") {
            return ApusError(
                .unavailable, "\(place) does not speak TLS", hint: "Is it the port for plain connections? Use apus://.")
        }
        if has("UNSUPPORTED_PROTOCOL") || has("ALERT_PROTOCOL_VERSION") {
            return ApusError(.tlsFailed, "\(place) and this client have no version of TLS in common")
        }
        let reason = reasons.isEmpty ? "it closed the connection" : TLSReason.text(error)
        return ApusError(
            .unavailable, "the TLS handshake with \(place) failed: \(reason)",
            hint: "It may be busy, or no broker; its log says more.")
    }

    /// What the broker says about this client's certificate; with TLS 1.3 it says so only after the handshake.
    static func refusal(_ error: any Error) -> ApusError? {
        let reasons = TLSReason.reasons(error)
        func has(_ part: String) -> Bool { reasons.contains { $0.contains(part) } }
        let what: String
        switch true {
        case has("ALERT_CERTIFICATE_REQUIRED"): what = "it demands one, and this client has shown none"
        case has("ALERT_UNKNOWN_CA"): what = "it does not trust the authority that has signed it"
        case has("ALERT_CERTIFICATE_EXPIRED"): what = "it has expired"
        case has("ALERT_BAD_CERTIFICATE"), has("ALERT_CERTIFICATE_UNKNOWN"), has("ALERT_ACCESS_DENIED"),
            has("ALERT_UNSUPPORTED_CERTIFICATE"), has("ALERT_CERTIFICATE_REVOKED"):
            what = TLSReason.text(error)
        // An older way to say that a certificate is missing.
        case has("ALERT_HANDSHAKE_FAILURE"): what = "it demands one, or nothing else that it would accept"
        default: return nil
        }
        return ApusError(
            .tlsFailed, "the broker does not accept this client's certificate: \(what)",
            hint:
                "Name one that the broker's operator has given you: --cert FILE, with the key in it or in --cert-key FILE."
        )
    }

    private static func untrusted(_ place: String, _ certificate: NIOSSLCertificate?) -> ApusError {
        let now = time(nil)
        func text(_ time: Int) -> String { Timestamp.text(Microseconds(time) * 1_000_000) }
        if let certificate, certificate.notValidAfter < now {
            return ApusError(
                .tlsFailed, "the certificate of \(place) expired on \(text(certificate.notValidAfter))",
                hint: "The broker's operator has to renew it. Or is this machine's clock wrong?")
        }
        if let certificate, certificate.notValidBefore > now {
            return ApusError(
                .tlsFailed, "the certificate of \(place) is valid only from \(text(certificate.notValidBefore)) on",
                hint: "Is this machine's clock wrong?")
        }
        return ApusError(
            .tlsFailed, "the certificate of \(place) is signed by an authority that is not trusted here",
            hint: authorityHint)
    }

    /// Of the certificate, for people.
    private static func names(_ certificate: NIOSSLCertificate?) -> String {
        let mark = "alternative_names="
        guard let text = certificate?.description.dropLast(), let range = text.firstRange(of: mark) else { return "" }
        return "; it is for \(text[range.upperBound...].replacing(",", with: ", "))"
    }
}
