import ApusModel
import ApusSecurity
import Foundation
import Testing

@Suite("A users file")
struct UsersFileTests {
    private func code(_ body: () throws -> Void) throws -> ApusError {
        do {
            try body()
        } catch let error as ApusError {
            return error
        }
        throw Unexpected("no error")
    }

    @Test("is made for its owner alone, and stays so, with nothing else left beside it but its lock")
    func isPrivate() throws {
        let folder = try TestFolder()
        let file = UsersFile(path: folder.path)
        for name in ["anna", "bert"] {
            try file.change(creates: true) { $0.users[name] = Users.User() }
            #expect(try folder.mode == 0o600)
        }
        #expect(folder.names == ["users.yaml", "users.yaml.lock"])
        #expect(try file.load().users.count == 2)
    }

    @Test(
        "that others may read or write is refused, and it is said what to run",
        arguments: [0o644, 0o640, 0o604, 0o660, 0o602, 0o777])
    func refusesOthers(_ mode: Int) throws {
        let folder = try TestFolder()
        let path = try folder.write("users: {anna: {}}\n", mode: mode)
        // To root's own file its group may be let in.
        if geteuid() == 0, mode == 0o640 { return }
        let error = try code { _ = try UsersFile(path: path).load() }
        #expect(error.code == .notAllowed)
        #expect(error.hint == "Run: chmod 600 \(path)")
        #expect(try code { try UsersFile(path: path).change { $0.users = [:] } }.code == .notAllowed)
        #expect(try String(contentsOfFile: path, encoding: .utf8) == "users: {anna: {}}\n")
    }

    @Test("of root may be read by the broker's group, and keeps that when it is changed")
    func keepsMode() throws {
        guard geteuid() == 0 else { return }
        let folder = try TestFolder()
        let path = try folder.write("users: {anna: {}}\n", mode: 0o640)
        try UsersFile(path: path).change { $0.users["bert"] = Users.User() }
        #expect(try folder.mode == 0o640)
        #expect(try UsersFile(path: path).load().users.count == 2)
    }

    @Test("of another user is refused: that one could change it")
    func refusesForeignOwner() throws {
        guard geteuid() == 0 else { return }
        let folder = try TestFolder()
        let path = try folder.write("users: {}\n")
        #expect(chown(path, 12_345, 12_345) == 0)
        let error = try code { _ = try UsersFile(path: path).load() }
        #expect(error.code == .notAllowed)
        #expect(error.hint == "Run: chown 0 \(path)")
    }

    @Test("that is not there, no file, not UTF-8 or not YAML is an error that says so")
    func refusesOthersThanFiles() throws {
        let folder = try TestFolder()
        let missing = try code { _ = try UsersFile(path: folder.path).load() }
        #expect(missing.code == .input)
        #expect(missing.message.contains(folder.path))
        #expect(try code { try UsersFile(path: folder.path).change { _ in } }.code == .input)
        #expect(try code { _ = try UsersFile(path: folder.url.path).load() }.code == .usage)
        try Data([0x75, 0xFF]).write(to: URL(fileURLWithPath: folder.path))
        try folder.setMode(0o600)
        #expect(try code { _ = try UsersFile(path: folder.path).load() }.code == .usage)
    }

    @Test("stays as it is where a change fails, and where what stands in it is wrong")
    func failsWhole() throws {
        let folder = try TestFolder()
        let path = try folder.write("users: {anna: {}} # mine\n")
        #expect(
            try code {
                try UsersFile(path: path).change { (users) throws(ApusError) in
                    users.users = [:]
                    throw ApusError(.usage, "no")
                }
            }.message == "no")
        #expect(try String(contentsOfFile: path, encoding: .utf8) == "users: {anna: {}} # mine\n")
        _ = try folder.write("users: {anna: 5}\n")
        #expect(try code { try UsersFile(path: path).change { $0.users["bert"] = Users.User() } }.code == .usage)
        #expect(try String(contentsOfFile: path, encoding: .utf8) == "users: {anna: 5}\n")
        #expect(folder.names == ["users.yaml", "users.yaml.lock"])
    }

    @Test("loses no change where many change it at once")
    func manyAtOnce() async throws {
        let folder = try TestFolder()
        let path = folder.path
        try await withThrowingTaskGroup(of: Void.self) { group in
            for index in 0..<20 {
                group.addTask {
                    try UsersFile(path: path).change(creates: true) { $0.users["user\(index)"] = Users.User() }
                }
            }
            try await group.waitForAll()
        }
        #expect(try UsersFile(path: path).load().users.count == 20)
    }

    @Test("that is a link stays one, and what it leads to is replaced")
    func followsLinks() throws {
        let folder = try TestFolder()
        let path = try folder.write("users: {anna: {}}\n")
        let link = folder.url.appendingPathComponent("link.yaml").path
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: path)
        try UsersFile(path: link).change { $0.users["bert"] = Users.User() }
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: link) == path)
        #expect(try UsersFile(path: path).load().users.count == 2)
    }
}
