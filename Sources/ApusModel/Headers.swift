/// A message's headers: pairs of texts, order kept, names may repeat.
///
/// Stored and sent as JSON text: an object where all names differ, an array of pairs where one repeats.
public struct Headers: Hashable, Sendable, ExpressibleByDictionaryLiteral {
    public var pairs: [Pair]

    public struct Pair: Hashable, Sendable {
        public var name: String
        public var value: String

        public init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    public init(_ pairs: [Pair] = []) { self.pairs = pairs }

    public init(dictionaryLiteral elements: (String, String)...) {
        pairs = elements.map { Pair($0.0, $0.1) }
    }

    public var isEmpty: Bool { pairs.isEmpty }

    /// The first value of that name.
    public subscript(name: String) -> String? { pairs.first { $0.name == name }?.value }

    /// - Parameter json: an object of texts, or an array of pairs of texts.
    /// - Throws: `invalid-field`.
    package init(json: JSON) throws(ApusError) {
        func text(_ value: JSON, _ name: String) throws(ApusError) -> String {
            guard case .string(let text) = value else {
                throw ApusError(
                    .invalidField, "the header \"\(name.prefix(80))\" is not a string",
                    hint: "headers is an object of strings, or an array of [name, value] pairs.")
            }
            return text
        }
        pairs = []
        switch json {
        case .object(let members):
            for member in members { pairs.append(Pair(member.name, try text(member.value, member.name))) }
        case .array(let items):
            for item in items {
                guard case .array(let pair) = item, pair.count == 2 else {
                    throw ApusError(.invalidField, "headers holds something else than [name, value] pairs")
                }
                let name = try text(pair[0], "name")
                pairs.append(Pair(name, try text(pair[1], name)))
            }
        default:
            throw ApusError(.invalidField, "headers is neither an object nor an array of pairs")
        }
    }

    /// As stored: an object, or an array of pairs where a name repeats.
    package var json: JSON {
        if Set(pairs.map(\.name)).count == pairs.count {
            return .object(pairs.map { JSON.Member($0.name, .string($0.value)) })
        }
        return .array(pairs.map { .array([.string($0.name), .string($0.value)]) })
    }
}
