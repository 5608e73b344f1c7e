package import ApusModel
package import ApusWire
internal import Glibc
package import NIOCore

/// A client that does exactly what a test says: a plain socket, no library in between. Every call blocks, for a bounded
/// time.
///
/// Not Sendable; a thread that wants one makes it.
package final class ScriptedPeer {
    package struct Failure: Error, CustomStringConvertible {
        package let description: String
        package let code: Int32

        fileprivate init(_ call: String) {
            code = errno
            description = "\(call): \(String(cString: strerror(code)))"
        }
    }

    private var descriptor: Int32
    private var reader = FrameReader(bounds: .init(headerBytesMax: 65_535, contentBytesMax: 1 << 30))
    private let way: Way
    private let tls: TLSPipe?
    /// Whether the other side has said with TLS that nothing more comes.
    package var hasFarewell: Bool { tls?.isInputClosed ?? false }
    private var nextID: UInt64 = 1
    /// How many bytes arrived.
    package private(set) var bytesReceived = 0

    /// - Parameters:
    ///   - receiveBytes: the size of the receive buffer; the kernel takes twice as much and has a minimum.
    ///   - sendBytes: of the send buffer.
    ///   - tls: to speak TLS; the handshake is done when the first bytes go or come.
    ///   - from: the address to connect from, IPv4.
    package init(
        _ address: SocketAddress, way: Way = .json, receiveBytes: Int32? = nil, sendBytes: Int32? = nil,
        tls: TLSPipe? = nil, from: String? = nil
    ) throws {
        self.way = way
        self.tls = tls
        let family: Int32
        switch address {
        case .v4: family = AF_INET
        case .v6: family = AF_INET6
        case .unixDomainSocket: family = AF_UNIX
        }
        descriptor = socket(family, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { throw Failure("socket") }
        // Before the connection, because the window is agreed on with it.
        if let receiveBytes { try set(SOL_SOCKET, SO_RCVBUF, receiveBytes) }
        if let sendBytes { try set(SOL_SOCKET, SO_SNDBUF, sendBytes) }
        if let from {
            let local = try SocketAddress(ipAddress: from, port: 0)
            guard local.withSockAddr({ bindSocket(descriptor, $0, socklen_t($1)) }) == 0 else { throw Failure("bind") }
        }
        let code = address.withSockAddr { connect(descriptor, $0, socklen_t($1)) }
        guard code == 0 else { throw Failure("connect") }
        if family != AF_UNIX { try set(Int32(IPPROTO_TCP), TCP_NODELAY, 1) }
        if let tls { try sendRaw(tls.takeOutput()) }
    }

    deinit { close() }

    private func set<Value>(_ level: Int32, _ name: Int32, _ value: Value) throws {
        let code = withUnsafeBytes(of: value) {
            setsockopt(descriptor, level, name, $0.baseAddress, socklen_t($0.count))
        }
        guard code == 0 else { throw Failure("setsockopt") }
    }

    // MARK: Sending

    /// Sends all of it, however little the socket takes at a time.
    package func send(_ bytes: some Collection<UInt8>) throws {
        guard let tls else { return try sendRaw(Array(bytes)) }
        try sendRaw(tls.encrypt(Array(bytes)))
        // What goes before the handshake is done waits in there for it.
        while !tls.isOpen, let answer = try receiveRaw(max: 65_536, "the handshake") {
            let said = try take(answer, tls)
            if !said.isEmpty { reader.append(ByteBuffer(bytes: said)) }
        }
    }

    /// - Returns: what it says.
    private func take(_ bytes: [UInt8], _ tls: TLSPipe) throws -> [UInt8] {
        let (said, answer) = try tls.receive(bytes)
        if !answer.isEmpty { try? sendRaw(answer) }
        return said
    }

    /// Sends bytes as they are, also where the others are encrypted.
    package func sendRaw(_ bytes: [UInt8]) throws {
        var rest = Array(bytes)[...]
        while !rest.isEmpty {
            try wait(for: Int16(POLLOUT), "room to send")
            let count = rest.withUnsafeBytes { sendSome(descriptor, $0) }
            guard count >= 0 else {
                if errno == EAGAIN || errno == EINTR { continue }
                throw Failure("send")
            }
            rest = rest.dropFirst(count)
        }
    }

    /// Sends what the socket takes without waiting.
    ///
    /// - Returns: how many bytes.
    package func sendWithoutWaiting(_ bytes: [UInt8]) throws -> Int {
        let count = bytes.withUnsafeBytes { sendSome(descriptor, $0) }
        guard count >= 0 else {
            if errno == EAGAIN { return 0 }
            throw Failure("send")
        }
        return count
    }

    package func send(_ frame: Frame) throws { try send(ScriptedPeer.bytes(frame, way)) }

    package func send(json: String, _ content: String = "") throws {
        try send(ScriptedPeer.bytes(json: json, Array(content.utf8)))
    }

    /// Publishes with the next id.
    package func publish(_ topic: String, _ payload: String, level: AckLevel = .synced) throws {
        try send(ScriptedPeer.publish(topic, payload, id: nextID, level: level, way: way))
        nextID += 1
    }

    package func subscribe(
        _ filters: String..., number: UInt32 = 1, from: StartPosition = .now, credit: UInt64? = nil
    ) throws {
        let filters = try filters.map { (text) throws(ApusError) in try TopicFilter(text, levelsMax: 65_535) }
        try send(.subscribe(Subscribe(subscription: number, filters: filters, from: from, credit: credit)))
    }

    // MARK: Bytes

    package static func bytes(_ frame: Frame, _ way: Way) -> [UInt8] {
        var out = ByteBuffer()
        FrameWriter.write(frame, way, into: &out)
        return Array(out.readableBytesView)
    }

    package static func bytes(json: String, _ content: [UInt8] = []) -> [UInt8] {
        let header = Array(json.utf8)
        return [UInt8(header.count >> 8), UInt8(header.count & 0xFF)] + header + content
    }

    package static func publish(
        _ topic: String, _ payload: String, id: UInt64?, level: AckLevel = .synced, way: Way
    ) -> [UInt8] {
        let content = Array(payload.utf8)
        guard way == .compact, let topic = try? Topic(topic) else {
            let number = id.map { ",\"id\":\($0)" } ?? ""
            let head = "{\"topic\":\(JSON.string(topic).text)\(number),\"level\":\"\(level.name)\""
            return bytes(json: head + ",\"content-length\":\(content.count)}", content)
        }
        var out = ByteBuffer()
        content.withUnsafeBytes { payload in
            let nothing = UnsafeRawBufferPointer(start: nil, count: 0)
            EnvelopeWriter.publish(
                id: id, level: level, retain: false, ttl: 0,
                fragment: EnvelopeFragment(topic: topic, encoding: .undeclared, way: .compact),
                content: .init(headers: nothing, key: nothing, payload: payload), into: &out)
        }
        return Array(out.readableBytesView)
    }

    // MARK: Receiving

    /// The next frame; nil where the broker has closed.
    package func next(_ what: String = "a frame") throws -> Frame? {
        while true {
            if let frame = try reader.next() { return frame }
            guard let bytes = try receive(max: 65_536, what) else {
                guard !reader.isInsideFrame else { throw WaitedTooLong("the rest of a frame: the stream ended in it") }
                return nil
            }
            reader.append(ByteBuffer(bytes: bytes))
        }
    }

    /// What has arrived; nil where the broker has closed. Waits where nothing is there.
    package func receive(max: Int, _ what: String = "bytes") throws -> [UInt8]? {
        guard let tls else { return try receiveRaw(max: max, what) }
        while true {
            guard let bytes = try receiveRaw(max: max, what) else { return nil }
            let said = try take(bytes, tls)
            if !said.isEmpty { return said }
        }
    }

    /// As it came, encrypted or not.
    package func receiveRaw(max: Int, _ what: String = "bytes") throws -> [UInt8]? {
        try wait(for: Int16(POLLIN), what)
        var bytes = [UInt8](repeating: 0, count: max)
        let count = bytes.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress, $0.count, 0) }
        guard count >= 0 else { throw Failure("recv") }
        bytesReceived += count
        return count == 0 ? nil : Array(bytes[..<count])
    }

    /// Reads at most so many bytes into the frames that ``next(_:)`` gives.
    ///
    /// - Returns: false where the broker has closed.
    package func read(max: Int) throws -> Bool {
        guard let bytes = try receive(max: max) else { return false }
        reader.append(ByteBuffer(bytes: bytes))
        return true
    }

    /// A frame that has been read already, or nil.
    package func nextRead() throws -> Frame? { try reader.next() }

    /// Whether something is there to be read now.
    package var hasInput: Bool {
        var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return Self.poll(&poll, milliseconds: 0) > 0
    }

    package var localPort: Int {
        var address = sockaddr_storage()
        var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let code = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &size) }
        }
        guard code == 0 else { return 0 }
        // The port stands at the same place in both families.
        return withUnsafeBytes(of: address) { Int($0[2]) << 8 | Int($0[3]) }
    }

    // MARK: Ending

    /// Half-close: nothing more will be sent, everything is still read.
    package func closeSending() throws {
        if let tls { try sendRaw(tls.closeSending()) }
        guard shutdown(descriptor, Int32(SHUT_WR)) == 0 else { throw Failure("shutdown") }
    }

    /// The connection ends with a reset.
    package func reset() throws {
        try set(SOL_SOCKET, SO_LINGER, linger(l_onoff: 1, l_linger: 0))
        close()
    }

    package func close() {
        guard descriptor >= 0 else { return }
        _ = Glibc.close(descriptor)
        descriptor = -1
    }

    private func wait(for events: Int16, _ what: String) throws {
        var poll = pollfd(fd: descriptor, events: events, revents: 0)
        let count = Self.poll(&poll, milliseconds: Int32(patienceSeconds * 1_000))
        guard count > 0 else { throw WaitedTooLong(what) }
    }

    private static func poll(_ descriptor: inout pollfd, milliseconds: Int32) -> Int32 {
        while true {
            let count = Glibc.poll(&descriptor, 1, milliseconds)
            guard count < 0, errno == EINTR else { return count }
        }
    }
}

private func bindSocket(_ descriptor: Int32, _ address: UnsafePointer<sockaddr>, _ size: socklen_t) -> Int32 {
    bind(descriptor, address, size)
}

private func sendSome(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
    let flags = Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL)
    return send(descriptor, bytes.baseAddress, bytes.count, flags)
}
