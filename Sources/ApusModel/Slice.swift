/// A piece of a buffer that stands beside it. Bounds: such a buffer has at most 4 GiB.
package struct Slice: BitwiseCopyable, Hashable, Sendable {
    package var offset: UInt32
    package var length: UInt32

    package static let empty = Slice(offset: 0, length: 0)

    package init(offset: UInt32, length: UInt32) {
        self.offset = offset
        self.length = length
    }

    package var isEmpty: Bool { length == 0 }
    package var range: Range<Int> { Int(offset)..<(Int(offset) + Int(length)) }
}
