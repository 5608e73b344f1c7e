/// The fields of headers. The number is the tag of a compact property, the name the member of a JSON header.
package enum Field: UInt8, Sendable, CaseIterable {
    // What a publish and a message share: the encoding and the rest of the envelope.
    case contentType = 1
    case charset = 2
    case contentEncoding = 3
    case byteOrder = 4
    case format = 5
    case headers = 6
    case key = 7
    case ttl = 8
    case deliveryCount = 9

    case version = 10
    case clientID = 11
    case publisher = 12
    case user = 13
    case password = 14
    case token = 15
    case keepAlive = 16
    case log = 17
    case lastID = 18
    case limits = 19

    case topic = 20
    case id = 21
    case level = 22
    case retain = 23
    case seq = 24
    case count = 25
    case duplicate = 26
    case time = 27
    case redelivered = 28
    case retained = 29
    case converted = 30

    case subscription = 31
    case filter = 32
    case from = 33
    case credit = 34
    case next = 35
    case to = 36
    case reason = 37

    case query = 38
    case select = 39
    case since = 40
    case until = 41
    case last = 42
    case grep = 43
    case limit = 44

    case code = 45
    case message = 46
    case hint = 47
    case fatal = 48

    // Of a subscribe; this version refuses them with not-supported.
    case durable = 49
    case group = 50
    case ackMode = 51
    case ackDeadline = 52
    case maxDeliveries = 53
    case policy = 54
    case maxLag = 55
    case maxLagBytes = 56
    case maxLagAge = 57
    case acceptCharset = 58
    case acceptEncoding = 59
    case acceptByteOrder = 60
    case delay = 61

    /// How a compact property writes the value.
    package enum Form: Sendable {
        /// u64, big-endian; negative ones in two's complement.
        case integer
        /// UTF-8.
        case text
        /// One byte, 0 or 1.
        case bool
        /// JSON text.
        case json
    }

    package var form: Form {
        switch self {
        case .ttl, .deliveryCount, .version, .keepAlive, .lastID, .id, .seq, .count, .time, .subscription, .credit,
            .next, .to, .query, .last, .limit, .maxDeliveries, .maxLag, .maxLagBytes, .delay, .ackDeadline:
            .integer
        case .retain, .duplicate, .redelivered, .retained, .converted, .fatal: .bool
        case .headers, .limits, .filter, .from, .since, .until, .maxLagAge, .acceptCharset, .acceptEncoding: .json
        default: .text
        }
    }

    /// Names as they stand in JSON headers: words joined by hyphens.
    package var name: String { Field.names[Int(rawValue)] }

    private static let names: [String] = {
        var names = Array(repeating: "", count: Int(UInt8.max) + 1)
        for field in allCases { names[Int(field.rawValue)] = hyphenated(String(describing: field)) }
        return names
    }()

    private static func hyphenated(_ name: String) -> String {
        var out = ""
        var wasLower = false
        for character in name {
            if character.isUppercase, wasLower { out.append("-") }
            wasLower = character.isLowercase
            out += character.lowercased()
        }
        return out
    }

    /// By name; `byteorder` is another spelling of `byte-order`.
    package static let byName: [String: Field] = {
        var map = Dictionary(uniqueKeysWithValues: allCases.map { ($0.name, $0) })
        map["byteorder"] = .byteOrder
        return map
    }()
}
