/// A topic: `a/b/c`, UTF-8, compared as bytes.
///
/// At most 65,535 bytes (MQTT 5.0, section 1.5.4), not empty, no NUL, no wildcard (`+`, `#`).
/// A value of one reference: its hash and the checksum of its text are computed once, when it is made.
public struct Topic: Hashable, Sendable, CustomStringConvertible {
    package final class Storage: Sendable {
        let bytes: [UInt8]
        let name: String
        let hash: Int
        let checksum: UInt32

        init(bytes: [UInt8], name: String) {
            self.bytes = bytes
            self.name = name
            self.hash = Topic.hash(of: bytes)
            self.checksum = Checksum.of(bytes)
        }
    }

    /// The longest topic or filter, in bytes.
    public static let bytesMax = 65_535

    private let storage: Storage

    /// - Throws: `invalid-topic`, saying what is wrong with it.
    public init(_ name: String) throws(ApusError) {
        try self.init(validating: Array(name.utf8))
    }

    /// - Throws: `invalid-topic`, saying what is wrong with it.
    package init(validating bytes: [UInt8]) throws(ApusError) {
        guard !bytes.isEmpty else { throw ApusError(.invalidTopic, "the topic is empty") }
        guard bytes.count <= Topic.bytesMax else {
            throw ApusError(.invalidTopic, "the topic has \(bytes.count) bytes, the limit is \(Topic.bytesMax)")
        }
        guard let name = String(validating: bytes, as: UTF8.self) else {
            throw ApusError(.invalidTopic, "the topic is not UTF-8")
        }
        for byte in bytes where byte == 0 || byte == UInt8(ascii: "+") || byte == UInt8(ascii: "#") {
            let what = byte == 0 ? "a NUL" : "the wildcard '\(Character(Unicode.Scalar(byte)))'"
            throw ApusError(
                .invalidTopic, "the topic \"\(name.prefix(80))\" contains \(what)",
                hint: byte == 0 ? nil : "Wildcards belong to filters, which subscribe; a publish names one topic.")
        }
        storage = Storage(bytes: bytes, name: name)
    }

    public var name: String { storage.name }
    public var description: String { storage.name }
    package var bytes: [UInt8] { storage.bytes }
    /// CRC-32C of the text.
    package var checksum: UInt32 { storage.checksum }
    /// Topics that begin with `$` are the broker's own: clients cannot publish to them.
    package var isReserved: Bool { storage.bytes[0] == UInt8(ascii: "$") }
    package var hash: Int { storage.hash }
    /// Bytes of memory: its text is kept twice.
    package var cost: Int { 2 * storage.bytes.count + 64 }
    /// Whether caches that are bounded by the number of their entries may keep it.
    package var isCacheable: Bool { storage.bytes.count <= 1_024 }

    public static func == (a: Topic, b: Topic) -> Bool {
        a.storage === b.storage || (a.storage.hash == b.storage.hash && a.storage.bytes == b.storage.bytes)
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(storage.hash)
    }

    /// The hash of a topic that has these bytes. Seeded per process, so nobody can choose colliding topics.
    package static func hash(of bytes: some Sequence<UInt8>) -> Int {
        var hasher = Hasher()
        let done: Void? = bytes.withContiguousStorageIfAvailable { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
        if done == nil {
            for byte in bytes { hasher.combine(byte) }
        }
        return hasher.finalize()
    }
}
