package import ApusModel

/// The fields of a header that is not on the hot path, whichever way it was written.
package struct FieldBag: Sendable {
    package private(set) var values: [(field: Field, value: JSON)] = []

    package init() {}

    package subscript(field: Field) -> JSON? { values.first { $0.field == field }?.value }

    // MARK: Writing

    package mutating func set(_ field: Field, _ value: JSON) { values.append((field, value)) }
    package mutating func set(_ field: Field, _ text: String?) {
        if let text { set(field, .string(text)) }
    }
    package mutating func set(_ field: Field, _ value: UInt64?) {
        // No field is read beyond it; more is what a client means by "no bound".
        if let value { set(field, .integer(Int64(clamping: value))) }
    }
    /// `false` is what leaving it out means.
    package mutating func set(_ field: Field, _ value: Bool) {
        if value { set(field, .bool(true)) }
    }

    // MARK: Reading

    private func wrongType(_ field: Field, _ expected: String) -> ApusError {
        ApusError(.invalidField, "the field \"\(field.name)\" is not \(expected)")
    }

    /// - Throws: `invalid-field` where the value is of another type. The same for those below.
    package func text(_ field: Field) throws(ApusError) -> String? {
        switch self[field] {
        case nil, .null: return nil
        case .string(let text): return text
        default: throw wrongType(field, "a string")
        }
    }

    package func unsigned(_ field: Field, max: UInt64 = UInt64(Int64.max)) throws(ApusError) -> UInt64? {
        switch self[field] {
        case nil, .null: return nil
        case .integer(let value) where value >= 0 && UInt64(value) <= max: return UInt64(value)
        default: throw wrongType(field, "an integer from 0 to \(max)")
        }
    }

    package func signed(_ field: Field) throws(ApusError) -> Int64? {
        switch self[field] {
        case nil, .null: return nil
        case .integer(let value): return value
        default: throw wrongType(field, "an integer")
        }
    }

    package func bool(_ field: Field) throws(ApusError) -> Bool {
        switch self[field] {
        case nil, .null: return false
        case .bool(let value): return value
        default: throw wrongType(field, "true or false")
        }
    }

    package func required<Value>(_ field: Field, _ value: Value?) throws(ApusError) -> Value {
        guard let value else { throw ApusError(.missingField, "the field \"\(field.name)\" is missing") }
        return value
    }

    /// A client's number for a subscription or a query.
    package func number(_ field: Field) throws(ApusError) -> UInt32 {
        UInt32(try required(field, try unsigned(field, max: UInt64(UInt32.max))))
    }

    /// Microseconds since 1970 UTC as an integer, or a text of RFC 3339 with an offset.
    package func time(_ field: Field) throws(ApusError) -> Microseconds? {
        switch self[field] {
        case nil, .null: return nil
        case .integer(let value): return value
        case .string(let text):
            guard let time = Timestamp.parse(text) else { throw wrongType(field, "a time of RFC 3339 with an offset") }
            return time
        default: throw wrongType(field, "a time (microseconds, or a text of RFC 3339)")
        }
    }
}
