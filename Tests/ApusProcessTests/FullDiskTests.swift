import Foundation
import Glibc
import Testing

extension ProcessTests {
    @Suite("A disk that is full")
    struct FullDiskTests {
        @Test("Publishes get storage-full, reading goes on, and with room again publishing goes on; nothing is lost")
        func fullDisk() async throws {
            try await Workshop.open { workshop in
                let mount = workshop.path("disk")
                try FileManager.default.createDirectory(atPath: mount, withIntermediateDirectories: false)
                // A small file system of the broker's own: nobody else sees it, and it goes with the broker.
                let script = "mount -t tmpfs -o size=12m tmpfs \(mount) && exec \"$@\""
                let wrapper = try await wrapper(workshop, script)
                let broker = try await workshop.broker(
                    db: "\(mount)/apus.db", "--wal-checkpoint", "1048576", wrapper: wrapper)
                // The same file system, as the broker sees it.
                let inside = "/proc/\(broker.child.pid)/root\(mount)"
                let ballast = "\(inside)/ballast"
                try Data(count: 4 << 20).write(to: URL(fileURLWithPath: ballast))

                // It gets its name while there is room for that.
                let named = try workshop.apus(
                    "pub", "patient", "-l", "-v", "--publisher", "p", "-s", broker.server, input: .open)
                try named.write(Array("first\n".utf8))
                try await named.watched.wait(for: "a receipt") { $0.outputText == "seq 1 synced\n" ? true : nil }
                let publisher = try await onThread { Handed(try RawClient(port: broker.port)) }
                let fill = try await onThread { try publishUntilRefused(publisher.value, from: 1) }
                #expect(fill.refusal == "storage-full")
                #expect(fill.seqs.count > 20)
                try await checkReading(workshop, broker, fill.seqs)
                // It stays that way, for other connections too, with the exit code for it.
                let big = try workshop.file("big", [UInt8](repeating: 1, count: 2 << 20))
                let refused = try await workshop.run("pub", "a", "-f", big, "-s", broker.server)
                #expect(refused.end == .exited(74), "\(refused.errors)")
                #expect(refused.errors.contains("full"), "\(refused.errors)")
                // Who has a name can send again without harm: it says why it waits, and goes on until there is room.
                try await onThread {
                    try named.write([UInt8](repeating: 0x78, count: 2 << 20) + [0x0A])
                    named.closeInput()
                }
                try await named.says("full")

                try FileManager.default.removeItem(atPath: ballast)
                // The same connection, the same broker.
                let more = try await onThread {
                    var more = Fill()
                    for id in 0..<20 { try publish(publisher.value, id: fill.nextID + UInt64(id), &more) }
                    return more
                }
                #expect(more.refusal == nil)
                let waited = try await named.ended()
                #expect(waited.end == .exited(0), "\(waited.errors)")
                let patient = try await workshop.done("history", "patient", "--json", "-s", broker.server)
                #expect(patient.lines.count == 2)
                #expect(more.seqs.count == 20)
                let all = fill.seqs.merging(more.seqs) { $1 }
                #expect(Set(all.values).count == all.count, "no seq twice")
                try await checkReading(workshop, broker, all)
                // Killed, and begun again on the same file: it is all there.
                let copy = workshop.path("copy")
                try FileManager.default.createDirectory(atPath: copy, withIntermediateDirectories: false)
                broker.child.signal(SIGSTOP)
                for name in ["apus.db", "apus.db-wal"] {
                    try FileManager.default.copyItem(atPath: "\(inside)/\(name)", toPath: "\(copy)/\(name)")
                }
                try await broker.killNow()
                let again = try await workshop.broker(db: "\(copy)/apus.db")
                try await checkReading(workshop, again, all)
                #expect(try await again.stop().end == .exited(0))
                let check = try await workshop.sql("PRAGMA integrity_check", db: "copy/apus.db")
                #expect(check.map { $0[0].text } == ["ok"])
            }
        }

        @Test(
            "A named publisher that sends on against a full disk and then again has everything recorded once, in order")
        func namedPublisher() async throws {
            try await Workshop.open { workshop in
                let mount = workshop.path("disk")
                try FileManager.default.createDirectory(atPath: mount, withIntermediateDirectories: false)
                let wrapper = try await wrapper(workshop, "mount -t tmpfs -o size=40m tmpfs \(mount) && exec \"$@\"")
                let broker = try await workshop.broker(db: "\(mount)/apus.db", wrapper: wrapper)
                let ballast = "/proc/\(broker.child.pid)/root\(mount)/ballast"
                try Data(count: 36 << 20).write(to: URL(fileURLWithPath: ballast))
                // Large ones and small ones: a small one still fits where a large one before it did not.
                let ids = UInt64(1)...240
                let refusals = try await onThread { try sendAll(ids, broker.port) }
                #expect(refusals > 0)
                try FileManager.default.removeItem(atPath: ballast)
                #expect(try await onThread { try sendAll(ids, broker.port) } == 0)
                let output = try await workshop.done(
                    "sub", "named", "--from", "start", "--exit-at-end", "-F", Record.format, "-s", broker.server
                ).output
                #expect(try Record.parse(output).map(\.payload) == ids.map { namedPayload($0) })
            }
        }

        /// - Throws: where nothing can be mounted: then this cannot be tested here, and saying nothing would hide that.
        private func wrapper(_ workshop: Workshop, _ script: String) async throws -> [String] {
            var said = ""
            for unshare in [["unshare", "-m"], ["unshare", "-rm"]] {
                let finished = try await workshop.spawn(unshare + ["sh", "-c", script, "sh", "true"]).ended()
                if finished.end == .exited(0) { return unshare + ["sh", "-c", script, "sh"] }
                said += finished.errors
            }
            throw Unexpected("a full disk needs a small file system, and mounting one is not allowed here: \(said)")
        }

        private func checkReading(_ workshop: Workshop, _ broker: BrokerChild, _ seqs: [UInt64: UInt64]) async throws {
            let output = try await workshop.done(
                "sub", "fill", "--from", "start", "--exit-at-end", "-F", Record.format, "-s", broker.server
            ).output
            let bySeq = Dictionary(uniqueKeysWithValues: try Record.parse(output).map { ($0.seq, $0.payload) })
            for (id, seq) in seqs { #expect(bySeq[seq] == fillPayload(id), "id \(id), seq \(seq)") }
        }
    }
}

private struct Fill: Sendable {
    /// By id: what was acknowledged.
    var seqs: [UInt64: UInt64] = [:]
    /// The error's code.
    var refusal: String?
    var nextID: UInt64 = 1
}

private func fillPayload(_ id: UInt64) -> [UInt8] { [UInt8](repeating: UInt8(truncatingIfNeeded: id), count: 50_000) }

/// Publishes one message and waits for the answer.
private func publish(_ client: RawClient, id: UInt64, _ fill: inout Fill) throws {
    try client.send(RawClient.publish("fill", id: id, fillPayload(id)))
    fill.nextID = id + 1
    let header = try client.next().header
    switch header.kind {
    case "published" where header.id == id: fill.seqs[id] = header.seq
    case "error" where header.id == id: fill.refusal = header.code
    default: throw Unexpected("\(header) to the publish \(id)")
    }
}

private func publishUntilRefused(_ client: RawClient, from first: UInt64) throws -> Fill {
    var fill = Fill()
    // 12 MiB hold no more.
    for id in first..<(first + 400) where fill.refusal == nil { try publish(client, id: id, &fill) }
    return fill
}

private func namedPayload(_ id: UInt64) -> [UInt8] {
    [UInt8](repeating: UInt8(truncatingIfNeeded: id), count: id % 2 == 0 ? 60_000 : 10)
}

/// Publishes all of them under one name, without waiting in between, and takes the answers until the last one is there
/// or the connection ends.
///
/// - Returns: how many errors came.
private func sendAll(_ ids: ClosedRange<UInt64>, _ port: Int) throws -> Int {
    let client = try RawClient(port: port)
    _ = try client.hello(publisher: "named")
    var refusals = 0
    var answered: UInt64 = 0
    do {
        for id in ids {
            try client.send(RawClient.publish("named", id: id, namedPayload(id)))
            while client.hasInput { try take(client.next().header) }
        }
        while answered < ids.upperBound { try take(client.next().header) }
    } catch is RawClient.Gone {}
    return refusals

    func take(_ header: RawClient.Header) throws {
        switch header.kind {
        case "published": answered = header.id ?? 0
        // What was queued behind the refused one is refused with it.
        case "error" where header.code == "storage-full" || (header.code == "fenced" && refusals > 0):
            refusals += 1
            answered = header.id ?? ids.upperBound
        case "goodbye": break
        default: throw Unexpected("\(header)")
        }
    }
}
