import ApusModel
import ApusWire
import NIOCore
import Testing

@Suite("The frame reader")
struct FrameReaderTests {
    /// Reads all frames that are there, then ends the turn.
    private func turn(_ reader: inout FrameReader, _ bytes: [UInt8]) throws -> Int {
        reader.append(ByteBuffer(bytes: bytes))
        var count = 0
        while try reader.next() != nil { count += 1 }
        reader.settle()
        return count
    }

    @Test("holds nothing between frames")
    func holdsNothing() throws {
        var reader = FrameReader()
        #expect(reader.bytesHeld == 0 && !reader.isInsideFrame)
        let frame = jsonFrame(#"{"topic":"t","content-length":3}"#, content: [1, 2, 3])
        #expect(try turn(&reader, frame + frame) == 2)
        #expect(reader.bytesHeld == 0 && !reader.isInsideFrame && reader.bytesLeft == 0)
        #expect(try turn(&reader, Array(frame.prefix(5))) == 0)
        #expect(reader.bytesHeld >= 5 && reader.isInsideFrame && reader.bytesLeft == 5)
        #expect(try turn(&reader, Array(frame.dropFirst(5))) == 1)
        #expect(reader.bytesHeld == 0 && !reader.isInsideFrame)
    }

    @Test("is inside a frame after one byte, and between header and content")
    func isInside() throws {
        let frame = jsonFrame(#"{"topic":"t","content-length":1}"#, content: [1])
        for count in 1..<frame.count {
            var reader = FrameReader()
            _ = try turn(&reader, Array(frame.prefix(count)))
            #expect(reader.isInsideFrame && reader.bytesHeld > 0, "after \(count) bytes")
        }
    }

    @Test("keeps as much as has arrived, not as much as a frame announces", arguments: [false, true])
    func memoryFollowsBytes(_ isCompact: Bool) throws {
        let size = 8 << 20
        let header: [UInt8] =
            isCompact
            ? [0, 0x11, 3, 2, 0, 0x80, 0, 0] + Array(repeating: 0, count: 8) + [0, 1, 0x74]
            : jsonFrame("{\"topic\":\"t\",\"content-length\":\(size)}")
        var reader = FrameReader()
        _ = try turn(&reader, header)
        #expect(reader.bytesHeld <= 1_024)
        var arrived = 0
        while arrived < 1 << 20 {
            _ = try turn(&reader, Array(repeating: 7, count: 10_000))
            arrived += 10_000
            // A buffer that grows doubles, rounded up to a power of two.
            #expect(reader.bytesHeld <= 4 * arrived + 1_024, "after \(arrived) bytes")
            #expect(reader.bytesHeld >= arrived)
        }
    }

    @Test("does not let a small rest pin a large receive buffer")
    func settleLetsGo() throws {
        let frame = jsonFrame(#"{"topic":"t","content-length":50000}"#, content: Array(repeating: 1, count: 50_000))
        var reader = FrameReader()
        reader.append(ByteBuffer(bytes: frame + Array(frame.prefix(20))))
        #expect(try reader.next() != nil)
        #expect(try reader.next() == nil)
        #expect(reader.bytesHeld >= 50_000)
        reader.settle()
        #expect(reader.bytesHeld <= 64)
        // What was kept is still right.
        reader.append(ByteBuffer(bytes: frame.dropFirst(20)))
        guard case .publish(let publish)? = try reader.next() else {
            Issue.record("no publish")
            return
        }
        #expect(publish.content.readableBytes == 50_000)
    }

    @Test("does not let a header that waits for its content pin one either, and counts it")
    func waitingHeaderLetsGo() throws {
        let first = jsonFrame(#"{"topic":"t","content-length":50000}"#, content: Array(repeating: 1, count: 50_000))
        let header: [UInt8] = [0, 0x13, 3, 2, 0, 0, 0, 9] + Array(repeating: 0, count: 8) + [0, 3] + Array("a/b".utf8)
        var reader = FrameReader()
        #expect(try turn(&reader, first + header) == 1)
        #expect(reader.bytesHeld > 0 && reader.bytesHeld <= 128)
        reader.append(ByteBuffer(bytes: Array(repeating: 5, count: 9)))
        guard case .publish(let publish)? = try reader.next() else {
            Issue.record("no publish")
            return
        }
        #expect(publish.fields.storageCapacity <= 128)
        #expect(publish.text.text(publish.text.topic, in: publish.fields) == "a/b")
    }

    @Test("counts a long header that waits for its content, of any kind")
    func countsWaitingHeaders() throws {
        let filters = Array(repeating: "\"a/b\"", count: 1_000).joined(separator: ",")
        var reader = FrameReader()
        let header = "{\"kind\":\"subscribe\",\"subscription\":1,\"filter\":[\(filters)],\"content-length\":1}"
        #expect(try turn(&reader, jsonFrame(header)) == 0)
        #expect(reader.bytesHeld >= 6_000)
        #expect(try turn(&reader, [0]) == 1)
        #expect(reader.bytesHeld == 0)
    }

    @Test("refuses a header over the limit when its length is there, before its bytes")
    func headerTooLarge() throws {
        let bounds = TestBounds(header: 200, content: 1_000)
        #expect(fatalError([0, 201], bounds: bounds)?.code == .headerTooLarge)
        #expect(fatalError([0xFF, 0xFF], bounds: bounds)?.code == .headerTooLarge)
        #expect(fatalError([0, 200], bounds: bounds) == nil)
        #expect(fatalError([0xFF], bounds: bounds) == nil)
    }

    @Test("refuses content over the limit before it comes, compact even before the rest of the header")
    func messageTooLarge() throws {
        let bounds = TestBounds(header: 200, content: 1_000)
        let most = #"{"topic":"t","content-length":1000}"#
        #expect(fatalError(jsonFrame(most), bounds: bounds) == nil)
        #expect(
            fatalError(jsonFrame(#"{"topic":"t","content-length":1001}"#), bounds: bounds)?.code == .messageTooLarge)
        let compact: [UInt8] = [0, 0x20, 3, 2, 0, 0, 3, 0xE9]
        #expect(fatalError(compact, bounds: bounds)?.code == .messageTooLarge)
        #expect(fatalError(Array(compact.dropLast()), bounds: bounds) == nil)
        #expect(fatalError([0, 0x20, 3, 2, 0, 0, 3, 0xE8], bounds: bounds) == nil)
    }

    @Test("says which way the last header was written in")
    func way() throws {
        var reader = FrameReader()
        _ = try turn(&reader, [0, 6, 0x11, 0, 0, 0, 0, 0])
        #expect(reader.way == .compact)
        _ = try turn(&reader, jsonFrame(#"{"kind":"ping"}"#))
        #expect(reader.way == .json)
    }

    @Test("gives content that stays right when more arrives")
    func contentStays() throws {
        var reader = FrameReader()
        let frame = jsonFrame(#"{"topic":"t","content-length":4}"#, content: Array("keep".utf8))
        reader.append(ByteBuffer(bytes: frame + frame.prefix(10)))
        guard case .publish(let publish)? = try reader.next() else {
            Issue.record("no publish")
            return
        }
        reader.append(ByteBuffer(bytes: frame.dropFirst(10)))
        reader.settle()
        _ = try reader.next()
        #expect(String(buffer: publish.content) == "keep")
        #expect(publish.text.text(publish.text.topic, in: publish.fields) == "t")
    }

    @Test("refuses the headers of a compact publish alone, where they are not JSON, not UTF-8 or not texts")
    func compactHeaders() throws {
        for (value, isFine) in [
            (Array(#"{"a":"b"}"#.utf8), true), (Array("[]".utf8), true), (Array("{".utf8), false),
            (Array(#"{"a":"1","a":"2"}"#.utf8), false), (Array(#"{"a":1}"#.utf8), false),
            ([0x7B, 0x22, 0xFF, 0x22, 0x3A, 0x22, 0x22, 0x7D], false),
        ] as [([UInt8], Bool)] {
            let rest = [UInt8](repeating: 0, count: 8) + [0, 1, 0x74, 6, 0, UInt8(value.count)] + value
            let frame: [UInt8] = [0, UInt8(6 + rest.count), 3, 2, 0, 0, 0, 0] + rest
            guard case .publish(let publish)? = try frames(frame).first else {
                Issue.record("no publish")
                continue
            }
            do throws(ApusError) {
                _ = try publish.text.headers(in: publish.fields)
                #expect(isFine)
            } catch {
                #expect(!isFine && error.code == .invalidField && !error.isFatal)
            }
        }
    }
}
