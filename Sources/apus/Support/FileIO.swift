internal import ApusModel
internal import Glibc
internal import NIOCore

/// Whole reads and writes on file descriptors, with errors that name the file.
enum FileIO {
    static func error(_ what: String, errno code: Int32) -> ApusError {
        ApusError(.input, "\(what): \(String(cString: strerror(code)))")
    }

    /// - Returns: nil, or the error number.
    static func writeAll(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32) -> Int32? {
        var rest = bytes
        while !rest.isEmpty {
            let written = write(descriptor, rest.baseAddress, rest.count)
            if written >= 0 {
                rest = UnsafeRawBufferPointer(rebasing: rest[written...])
            } else if errno == EAGAIN {
                // Somebody who shares the terminal made it non-blocking.
                var poll = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                _ = Glibc.poll(&poll, 1, -1)
            } else if errno != EINTR {
                return errno
            }
        }
        return nil
    }

    /// Reads what is at hand: waits for the first byte, not for more.
    ///
    /// - Returns: the number of bytes; 0 at the end, and when the wait was interrupted.
    static func read(
        from descriptor: Int32, named name: String, into buffer: inout ByteBuffer, bytesMax: Int
    ) throws(ApusError) -> Int {
        while true {
            guard Interrupts.waitReadable(descriptor) else { return 0 }
            var failure: Int32?
            let count = buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: bytesMax) { space in
                let count = Glibc.read(descriptor, space.baseAddress, min(space.count, bytesMax))
                if count < 0 { failure = errno }
                return max(0, count)
            }
            guard let failure else { return count }
            guard failure == EINTR || failure == EAGAIN else { throw error("cannot read \(name)", errno: failure) }
        }
    }

    /// Whether there is something to read, or the end, without waiting.
    static func isReadable(_ descriptor: Int32) -> Bool {
        var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return Glibc.poll(&poll, 1, 0) > 0
    }

    static func open(_ path: String) throws(ApusError) -> OpenFile {
        let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw error("cannot open \(path)", errno: errno) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            let code = errno
            close(descriptor)
            throw error("cannot open \(path)", errno: code)
        }
        guard status.st_mode & S_IFMT != S_IFDIR else {
            close(descriptor)
            throw error("cannot read \(path)", errno: EISDIR)
        }
        return OpenFile(descriptor: descriptor, path: path, size: Int(status.st_size))
    }

    /// Bytes of standard input where it is a file; nil for a pipe or a terminal.
    static var standardInputSize: Int? {
        var status = stat()
        guard fstat(STDIN_FILENO, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
        return Int(status.st_size)
    }

    /// Everything up to the end, at most `bytesMax`.
    static func readAll(
        _ descriptor: Int32, named name: String, sizeHint: Int = 0, bytesMax: Int
    ) throws(ApusError) -> ByteBuffer {
        var buffer = ByteBuffer()
        buffer.reserveCapacity(min(sizeHint, bytesMax) + 1)
        while true {
            let step = min(max(64 << 10, min(sizeHint, bytesMax) + 1 - buffer.readableBytes), 1 << 20)
            let count = try read(from: descriptor, named: name, into: &buffer, bytesMax: step)
            if count == 0 { return buffer }
            guard buffer.readableBytes <= bytesMax else {
                throw ApusError(
                    .messageTooLarge, "\(name) is larger than a message may be (\(ByteCount.text(bytesMax)))",
                    hint: "The broker's limit is max-message-bytes.")
            }
        }
    }
}

/// An open file; closed when it is let go.
final class OpenFile {
    let descriptor: Int32
    let path: String
    let size: Int

    init(descriptor: Int32, path: String, size: Int) {
        self.descriptor = descriptor
        self.path = path
        self.size = size
    }

    deinit { close(descriptor) }
}
