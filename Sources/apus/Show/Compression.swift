internal import ApusModel
internal import CZlib
internal import NIOCore

/// gzip and deflate, by the system's zlib.
enum Compression {
    enum Inflated: Equatable {
        case whole([UInt8])
        /// There is more than the bound.
        case cut([UInt8])
        case damaged
    }

    private static let gzipBits: Int32 = 15 + 16
    private static let zlibBits: Int32 = 15
    private static let rawBits: Int32 = -15

    static func isKnown(_ name: String) -> Bool { name == "gzip" || name == "deflate" }

    /// - Parameter name: `gzip`, or `deflate`: the zlib format, or without its frame, which some send under that name.
    static func inflate(_ bytes: UnsafeRawBufferPointer, _ name: String, bytesMax: Int) -> Inflated {
        if name == "gzip" { return inflate(bytes, windowBits: gzipBits, bytesMax: bytesMax) }
        let framed = inflate(bytes, windowBits: zlibBits, bytesMax: bytesMax)
        return framed == .damaged ? inflate(bytes, windowBits: rawBits, bytesMax: bytesMax) : framed
    }

    private static func inflate(_ bytes: UnsafeRawBufferPointer, windowBits: Int32, bytesMax: Int) -> Inflated {
        var stream = z_stream()
        guard inflateInit2_(&stream, windowBits, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
            return .damaged
        }
        defer { inflateEnd(&stream) }
        stream.next_in = UnsafeMutablePointer(mutating: bytes.bindMemory(to: UInt8.self).baseAddress)
        stream.avail_in = UInt32(clamping: bytes.count)
        var out: [UInt8] = []
        while true {
            let status = withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 16_384) { space in
                stream.next_out = space.baseAddress
                stream.avail_out = UInt32(space.count)
                let status = CZlib.inflate(&stream, Z_NO_FLUSH)
                out.append(contentsOf: space[..<(space.count - Int(stream.avail_out))])
                return status
            }
            if out.count > bytesMax { return .cut(Array(out.prefix(bytesMax))) }
            switch status {
            case Z_STREAM_END where stream.avail_in > 0 && windowBits == gzipBits:
                // Members of gzip may follow one another (RFC 1952, section 2.2).
                guard inflateReset(&stream) == Z_OK else { return .damaged }
            case Z_STREAM_END: return .whole(out)
            case Z_OK where stream.avail_in > 0 || stream.avail_out == 0: break
            default: return .damaged
            }
        }
    }

    /// - Parameter name: `gzip` or `deflate`.
    static func deflate(_ payload: ByteBuffer, _ name: String) throws(ApusError) -> ByteBuffer {
        var stream = z_stream()
        let status = deflateInit2_(
            &stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, name == "gzip" ? gzipBits : zlibBits, 8, Z_DEFAULT_STRATEGY,
            ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
        guard status == Z_OK else { throw ApusError(.internalError, "zlib does not start (\(status))") }
        defer { deflateEnd(&stream) }
        var out = ByteBuffer()
        let bound = Int(deflateBound(&stream, UInt(payload.readableBytes))) + 32
        let result = payload.withUnsafeReadableBytes { bytes in
            stream.next_in = UnsafeMutablePointer(mutating: bytes.bindMemory(to: UInt8.self).baseAddress)
            stream.avail_in = UInt32(clamping: bytes.count)
            var result: Int32 = Z_OK
            out.writeWithUnsafeMutableBytes(minimumWritableBytes: bound) { space in
                stream.next_out = space.bindMemory(to: UInt8.self).baseAddress
                stream.avail_out = UInt32(clamping: space.count)
                result = CZlib.deflate(&stream, Z_FINISH)
                return space.count - Int(stream.avail_out)
            }
            return result
        }
        guard result == Z_STREAM_END else { throw ApusError(.internalError, "zlib does not finish (\(result))") }
        return out
    }
}
