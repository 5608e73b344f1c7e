import ApusModel
import ApusServer
import ApusTesting
import Foundation
import Glibc
import NIOCore
import Testing

@testable import apus

@Suite("The doctor")
struct DoctorTests {
    @Test("wants a descriptor a connection, and some of its own")
    func descriptors() {
        #expect(DescriptorCheck.judge(hard: 20_000, connections: 10_000).state == .ok)
        #expect(DescriptorCheck.judge(hard: 10_063, connections: 10_000).state == .warning)
        #expect(DescriptorCheck.judge(hard: 100, connections: 10_000).state == .problem)
    }

    @Test("refuses network file systems and memory, and warns of what goes with a container")
    func fileSystems() {
        func state(_ type: UInt32) -> Finding.State { DiskCheck.judge(type: type, folder: "/x").state }
        for type: UInt32 in [0x6969, 0xFF53_4D42, 0xFE53_4D42, 0x0102_1997, 0x0102_1994] {
            #expect(state(type) == .problem, "\(type)")
        }
        for type: UInt32 in [0x794C_7630, 0x6573_5546] { #expect(state(type) == .warning, "\(type)") }
        for type: UInt32 in [0xEF53, 0x5846_5342, 0x9123_683E, 0x1234] { #expect(state(type) == .ok, "\(type)") }
        #expect(DiskCheck.judge(freeBytes: 100 << 20, allBytes: 1 << 40).state == .problem)
        #expect(DiskCheck.judge(freeBytes: 900 << 20, allBytes: 1 << 40).state == .warning)
        #expect(DiskCheck.judge(freeBytes: 2 << 30, allBytes: 1 << 40).state == .ok)
    }

    @Test("measures fsync on the log's disk, leaves nothing behind, and judges what it measured")
    func syncs() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(at: folder) }
        let findings = SyncCheck.check(LogPlace("\(folder.path)/apus.db"), rounds: 5)
        #expect(findings.count == 1)
        #expect(findings[0].found.contains("of 5"))
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
        #expect(SyncCheck.judge(microseconds: Array(repeating: 800, count: 100)).state == .ok)
        #expect(SyncCheck.judge(microseconds: Array(repeating: 3, count: 100)).state == .warning)
        let slow = SyncCheck.judge(microseconds: Array(repeating: 800, count: 98) + [90_000, 120_000])
        #expect(slow.state == .warning)
        #expect(slow.found == "fsync takes 800 µs (median), 120.0 ms (99 %), of 100")
        #expect(SyncCheck.check(LogPlace("/nonexistent/apus.db"), rounds: 1).map(\.state) == [.problem])
    }

    @Test("finds a clock that jumped, went back, or runs free")
    func clock() {
        func state(_ isSynchronised: Bool?, step: Int64 = 0, ahead: Int64 = -1) -> Finding.State {
            ClockCheck.judge(isSynchronised: isSynchronised, stepMicroseconds: step, aheadMicroseconds: ahead).state
        }
        #expect(state(true) == .ok)
        #expect(state(nil) == .ok)
        #expect(state(false) == .warning)
        #expect(state(true, step: -200_000) == .warning)
        #expect(state(true, ahead: 3_600_000_000) == .problem)
    }

    @Test("knows which SQLite will do")
    func sqlite() {
        func state(_ number: Int, _ options: Set<String> = []) -> Finding.State {
            SQLiteCheck.judge(number: number, name: "x", options: options).state
        }
        #expect(state(3_040_001) == .ok)
        #expect(SQLiteCheck.judge(number: 3_040_001, name: "x", options: []).found.contains("WAL-reset"))
        #expect(!SQLiteCheck.judge(number: 3_052_000, name: "x", options: []).found.contains("WAL-reset"))
        #expect(state(3_036_000) == .problem)
        #expect(state(3_052_000, ["THREADSAFE=0"]) == .problem)
        #expect(SQLiteCheck.check().map(\.state) == [.ok], "the one that these tests run with")
    }

    @Test("tells a port that the broker itself has from one that somebody else has")
    func ports() throws {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, size) == 0 && listen(descriptor, 1) == 0 && getsockname(descriptor, $0, &size) == 0
            }
        }
        try #require(isBound)
        let port = Int(UInt16(bigEndian: address.sin_port))
        func finding(_ host: String, _ port: Int, broker: Int? = nil) -> Finding? {
            PortCheck.check([.init(host: host, port: port, option: "--listen")], broker: broker).first
        }
        #expect(finding("127.0.0.1", port)?.state == .problem)
        #expect(finding("127.0.0.1", port)?.advice?.contains("sport = :\(port)") == true)
        #expect(finding("127.0.0.1", port, broker: 77)?.state == .ok)
        #expect(finding("127.0.0.1", port, broker: 77)?.found.contains("77") == true)
        #expect(finding("127.0.0.1", 0)?.state == .ok)
        #expect(finding("192.0.2.1", 0)?.state == .problem, "no address of this machine")
        #expect(finding("no.such.host.invalid", 0)?.state == .problem)
    }

    @Test("tells whether a Unix socket can be made, and finds nothing in the way of one that was left behind")
    func unixSockets() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = "\(folder.path)/a.sock"
        func state() -> Finding.State { UnixSocketCheck.check(path, broker: nil).state }
        #expect(state() == .ok)
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        let address = try SocketAddress(unixDomainSocketPath: path)
        try #require(address.withSockAddr { bind(descriptor, $0, socklen_t($1)) } == 0)
        #expect(state() == .ok)
        #expect(UnixSocketCheck.check(path, broker: 77).found.contains("process 77"))
        try #require(listen(descriptor, 1) == 0)
        #expect(state() == .problem, "somebody listens")
        unlink(path)
        try "x".write(toFile: path, atomically: false, encoding: .utf8)
        #expect(state() == .problem)
        #expect(UnixSocketCheck.check("/no/such/folder/a.sock", broker: nil).state == .warning)
    }

    @Test("reads certificates and keys as the broker would")
    func certificates() {
        func findings(_ certificate: String, _ key: String) -> [Finding.State] {
            let files = TLSConfigurationFiles(
                certificate: TestCertificates.path(certificate), key: TestCertificates.path(key))
            return CertificateCheck.check(files).filter { !$0.found.contains("everybody") }.map(\.state)
        }
        #expect(findings("server.pem", "other-server.key") == [.problem])
        #expect(findings("server.pem", "server.key").allSatisfy { $0 == .ok })
        #expect(findings("none.pem", "server.key") == [.problem])
        #expect(findings("expired.pem", "expired.key") == [.problem])
    }

    @Test("finds who holds a broker's lock in the system's table")
    func lockTable() {
        let table = """
            1: POSIX  ADVISORY  READ 11 08:01:5678 120 120
            2: FLOCK  ADVISORY  WRITE 4711 08:01:5678 0 EOF
            3: FLOCK  ADVISORY  WRITE 12 08:01:99 0 EOF

            """
        #expect(LogPlace.holder(of: 5_678, in: table) == 4_711)
        #expect(LogPlace.holder(of: 5, in: table) == nil)
    }

    @Test("wants the users file to be its owner's alone, and the log to be nobody else's to write")
    func permissions() {
        func log(_ mode: mode_t, _ isReachable: Bool = true, path: String = "/l/apus.db") -> Finding.State? {
            PermissionCheck.judge(log: path, mode: mode, isWritableByUs: true, isReachable: isReachable)?.state
        }
        #expect(log(0o640) == nil)
        #expect(log(0o644) == .warning)
        #expect(log(0o644, path: "/l/apus.db-wal") == nil, "said once")
        #expect(log(0o666) == .problem)
        #expect(log(0o666, false) == nil)
        #expect(
            PermissionCheck.judge(log: "/l", mode: 0o600, isWritableByUs: false, isReachable: true)?.state == .problem)
        for mode: mode_t in [0o640, 0o604, 0o620] {
            #expect(PermissionCheck.judge(users: "/u", mode: mode, owner: 501).state == .problem)
        }
        #expect(PermissionCheck.judge(users: "/u", mode: 0o600, owner: 501).state == .ok)
        #expect(PermissionCheck.judge(users: "/u", mode: 0o640, owner: 0).state == .ok)
        #expect(PermissionCheck.judge(users: "/u", mode: 0o644, owner: 0).state == .problem)
    }

    @Test("adds the limits up and compares them with the memory that there is")
    func memory() {
        var limits = Limits.defaults
        limits.connectionsMax = 10
        #expect(MemoryCheck.judge(bytes: 8 << 30, isGroup: false, limits).state == .ok)
        #expect(MemoryCheck.judge(bytes: 256 << 20, isGroup: true, limits).state == .problem)
        limits.connectionsMax = 1_000_000
        limits.outboxBytesMax = 1 << 34
        #expect(MemoryCheck.judge(bytes: 8 << 30, isGroup: false, limits).state == .warning)
        #expect(MemoryCheck.upwards("/a/b") == ["", "/a", "/a/b"])
        #expect(MemoryCheck.parse(limit: "max\n") == nil)
        #expect(MemoryCheck.parse(limit: "536870912\n") == 536_870_912)
        #expect(MemoryCheck.parse(limit: "9223372036854771712\n") == nil)
    }

    @Test("finds the log's folder also for a log that is not there yet, and behind a link")
    func places() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(at: folder) }
        let link = folder.appendingPathComponent("link.db").path
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: "/dev/null")
        #expect(LogPlace("\(folder.path)/new.db").folder == LogPlace(folder.path + "/.").path)
        #expect(LogPlace(link).path == "/dev/null")
        #expect(LogPlace(link).folder == "/dev")
        #expect(LogPlace("/new.db").folder == "/")
    }
}
