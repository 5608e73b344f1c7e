internal import Foundation

/// The certificates that are checked in for tests; `make-certificates.sh` beside them says what each is.
package enum TestCertificates {
    package static func path(_ name: String) -> String {
        URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../../Tests/Resources/Certificates/\(name)").standardizedFileURL.path
    }
}
