internal import ApusModel
internal import Glibc
internal import NIOCore

/// Splits a stream of bytes into records. What follows the last separator is a record too, unless it is empty.
///
/// Bounded by: one record of `recordBytesMax`.
struct RecordSplitter {
    private let separator: UInt8
    private let recordBytesMax: Int
    private var pending = ByteBuffer()
    /// Bytes of `pending` that were searched already.
    private var searched = 0

    init(separator: UInt8, recordBytesMax: Int = PayloadSource.Item.bytesMax) {
        self.separator = separator
        self.recordBytesMax = recordBytesMax
    }

    mutating func append(_ bytes: ByteBuffer) {
        var bytes = bytes
        if pending.readableBytes == 0 { pending.clear() }
        pending.discardReadBytes()
        pending.writeBuffer(&bytes)
    }

    /// The next whole record; nil where more bytes are needed.
    mutating func next() throws(ApusError) -> ByteBuffer? {
        let view = pending.readableBytesView
        guard let end = view.dropFirst(searched).firstIndex(of: separator) else {
            searched = view.count
            guard searched <= recordBytesMax else {
                throw ApusError(
                    .messageTooLarge, "a record has more than \(ByteCount.text(recordBytesMax))",
                    hint: "-l separates messages by newlines, -0 by NULs.")
            }
            return nil
        }
        searched = 0
        let record = pending.readSlice(length: end - view.startIndex)
        pending.moveReaderIndex(forwardBy: 1)
        return record
    }

    /// What is left at the end of the stream.
    mutating func finish() -> ByteBuffer? {
        defer {
            pending = ByteBuffer()
            searched = 0
        }
        return pending.readableBytes > 0 ? pending : nil
    }
}

/// Records of standard input, as they come. For one thread.
final class RecordReader {
    private static let readBytes = 256 << 10

    private var splitter: RecordSplitter
    private var isAtEnd = false

    init(separator: UInt8) {
        splitter = RecordSplitter(separator: separator)
    }

    /// Whether there is more to read, or the end. What a full batch left over is found by the next read too.
    var hasMoreAtHand: Bool { isAtEnd || FileIO.isReadable(STDIN_FILENO) }

    /// Waits for a record, then takes what else is at hand.
    ///
    /// - Returns: empty at the end, and after an interrupt.
    func next(countMax: Int) throws(ApusError) -> [ByteBuffer] {
        var records: [ByteBuffer] = []
        while true {
            while records.count < countMax, let record = try splitter.next() { records.append(record) }
            if !records.isEmpty || isAtEnd { return records }
            var chunk = ByteBuffer()
            let count = try FileIO.read(
                from: STDIN_FILENO, named: "standard input", into: &chunk, bytesMax: Self.readBytes)
            guard count > 0 else {
                isAtEnd = true
                // After an interrupt, half a line is not a message.
                if let last = splitter.finish(), !Interrupts.isRequested { return [last] }
                return []
            }
            splitter.append(chunk)
        }
    }
}
