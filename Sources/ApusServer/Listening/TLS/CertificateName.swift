internal import NIOSSL

/// Whom a client's certificate names: the common name of its subject, else the first name, address or URI among its
/// alternative names. The certificate has been verified before.
///
/// Read from the certificate itself, because NIOSSL shows the common name only inside a text in which it could feign what
/// stands behind it.
enum CertificateName {
    /// - Returns: nil where it names nobody, or so that it cannot be shown: control characters, other charsets.
    static func of(_ certificate: NIOSSLCertificate) -> String? {
        (try? certificate.toDERBytes()).flatMap(of(der:))
    }

    static func of(der: [UInt8]) -> String? {
        var outer = DER(der[...])
        guard var certificate = outer.next(DER.sequence), var body = certificate.next(DER.sequence) else { return nil }
        _ = body.next(DER.version)
        // Serial number, algorithm, issuer, validity.
        for tag in [DER.integer, DER.sequence, DER.sequence, DER.sequence] {
            guard body.next(tag) != nil else { return nil }
        }
        guard let subject = body.next(DER.sequence) else { return nil }
        return commonName(subject) ?? alternativeName(body)
    }

    private static let commonNameID: [UInt8] = [0x55, 0x04, 0x03]
    private static let alternativeNameID: [UInt8] = [0x55, 0x1D, 0x11]

    /// The last one is the most specific.
    private static func commonName(_ subject: DER) -> String? {
        var names = subject
        var found: String?
        while var set = names.next(DER.set) {
            while var pair = set.next(DER.sequence) {
                guard let id = pair.next(DER.objectID), Array(id.bytes) == commonNameID else { continue }
                guard let (tag, value) = pair.next() else { return nil }
                guard let text = text(tag, value.bytes) else { return nil }
                found = text
            }
        }
        return found
    }

    private static func alternativeName(_ behindSubject: DER) -> String? {
        var body = behindSubject
        while let (tag, value) = body.next() {
            guard tag == DER.extensions else { continue }
            var list = value
            guard var extensions = list.next(DER.sequence) else { return nil }
            while var one = extensions.next(DER.sequence) {
                guard let id = one.next(DER.objectID), Array(id.bytes) == alternativeNameID else { continue }
                _ = one.next(DER.boolean)
                guard var octets = one.next(DER.octets), var names = octets.next(DER.sequence) else { return nil }
                while let (tag, name) = names.next() {
                    if DER.nameTags.contains(tag) { return text(DER.utf8String, name.bytes) }
                }
            }
        }
        return nil
    }

    private static func text(_ tag: UInt8, _ bytes: ArraySlice<UInt8>) -> String? {
        let text: String?
        switch tag {
        case DER.utf8String, DER.printableString, DER.ia5String: text = String(validating: bytes, as: UTF8.self)
        case DER.bmpString where bytes.count.isMultiple(of: 2):
            let start = bytes.startIndex
            let units = stride(from: start, to: bytes.endIndex, by: 2).map {
                UInt16(bytes[$0]) << 8 | UInt16(bytes[$0 + 1])
            }
            text = String(validating: units, as: UTF16.self)
        default: text = nil
        }
        guard let text, !text.isEmpty, text.unicodeScalars.allSatisfy({ $0.properties.generalCategory != .control })
        else { return nil }
        return text
    }
}

/// A reader of DER: one value after the other. What does not fit ends it.
private struct DER {
    static let boolean: UInt8 = 0x01
    static let integer: UInt8 = 0x02
    static let octets: UInt8 = 0x04
    static let objectID: UInt8 = 0x06
    static let utf8String: UInt8 = 0x0C
    static let printableString: UInt8 = 0x13
    static let ia5String: UInt8 = 0x16
    static let bmpString: UInt8 = 0x1E
    static let sequence: UInt8 = 0x30
    static let set: UInt8 = 0x31
    static let version: UInt8 = 0xA0
    static let extensions: UInt8 = 0xA3
    /// Of alternative names: an e-mail address, a DNS name, a URI.
    static let nameTags: [UInt8] = [0x81, 0x82, 0x86]

    private(set) var bytes: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { self.bytes = bytes }

    /// The next value, if it is of that kind; else nothing is read.
    mutating func next(_ expected: UInt8) -> DER? {
        guard bytes.first == expected else { return nil }
        return next()?.value
    }

    mutating func next() -> (tag: UInt8, value: DER)? {
        var rest = bytes
        guard let tag = rest.popFirst(), let first = rest.popFirst() else { return nil }
        var length = Int(first)
        if first >= 0x80 {
            // A certificate has less than 16 MiB.
            guard (0x81...0x83).contains(first) else { return nil }
            length = 0
            for _ in 0..<Int(first & 0x7F) {
                guard let byte = rest.popFirst() else { return nil }
                length = length << 8 | Int(byte)
            }
        }
        guard length <= rest.count else { return nil }
        bytes = rest.dropFirst(length)
        return (tag, DER(rest.prefix(length)))
    }
}
