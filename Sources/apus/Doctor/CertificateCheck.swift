internal import ApusModel
internal import ApusServer
internal import ApusSettings

/// Whether the certificates and keys that the configuration names can be used, now and for a while.
enum CertificateCheck {
    static func check(_ listeners: [ListenerSettings]) -> [Finding] {
        listeners.flatMap { listener in listener.tls.map { check(TLSConfigurationFiles($0)) } ?? [] }
    }

    /// Of one listener, as it would read them.
    static func check(_ files: TLSConfigurationFiles) -> [Finding] {
        do throws(ApusError) {
            let warnings = try files.test()
            guard !warnings.isEmpty else {
                return [.ok("certificate", "\(files.certificate) can be used, for two weeks and more")]
            }
            return warnings.map { warning in
                Finding(
                    check: "certificate", state: warning.isFailure ? .problem : .warning,
                    found: "\(warning.file): \(warning.what)", advice: warning.advice)
            }
        } catch {
            return [.problem("certificate", error.message, error.hint ?? "Name another file in the configuration.")]
        }
    }
}
