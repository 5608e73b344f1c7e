/// Looks for a run of bytes in others, in linear time whatever the bytes are (Knuth, Morris and Pratt).
struct ByteSearch {
    private let needle: [UInt8]
    /// For each length matched so far: how much of it still counts when the next byte does not fit.
    private let fallback: [Int]

    init(_ needle: [UInt8]) {
        self.needle = needle
        var fallback = [Int](repeating: 0, count: needle.count)
        var length = 0
        for index in needle.indices.dropFirst() {
            while length > 0, needle[index] != needle[length] { length = fallback[length - 1] }
            if needle[index] == needle[length] { length += 1 }
            fallback[index] = length
        }
        self.fallback = fallback
    }

    var isEmpty: Bool { needle.isEmpty }

    func isContained(in bytes: UnsafeRawBufferPointer) -> Bool {
        guard !needle.isEmpty else { return true }
        return needle.withUnsafeBufferPointer { needle in
            fallback.withUnsafeBufferPointer { fallback in
                var length = 0
                for byte in bytes {
                    while length > 0, byte != needle[length] { length = fallback[length - 1] }
                    if byte == needle[length] { length += 1 }
                    if length == needle.count { return true }
                }
                return false
            }
        }
    }
}
