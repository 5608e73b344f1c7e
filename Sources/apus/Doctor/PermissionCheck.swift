internal import ApusModel
internal import ApusSecurity
internal import Glibc

/// Who may read and write the log and the users file.
enum PermissionCheck {
    static func check(_ log: LogPlace, users: String?) -> [Finding] {
        var findings: [Finding] = []
        if access(log.folder, W_OK | X_OK) != 0 {
            findings.append(
                .problem(
                    "permissions", "this user may not create files in \(log.folder)",
                    "Give the folder to the user that runs the broker: chown."))
        }
        let there = log.files.compactMap { path in LogPlace.status(path).map { (path, $0.st_mode) } }
        let isFolderOpen = LogPlace.status(log.folder).map { $0.st_mode & 0o001 != 0 } ?? true
        for (path, mode) in there {
            let isWritable = access(path, R_OK | W_OK) == 0
            if let finding = judge(log: path, mode: mode, isWritableByUs: isWritable, isReachable: isFolderOpen) {
                findings.append(finding)
            }
        }
        if let users { findings += check(users: users) }
        guard findings.isEmpty else { return findings }
        return [
            .ok(
                "permissions",
                there.isEmpty
                    ? "\(log.folder) may be written; there is no log yet" : "\(log.path) belongs to nobody else")
        ]
    }

    /// - Parameter isReachable: whether others may pass through the folder.
    static func judge(log path: String, mode: mode_t, isWritableByUs: Bool, isReachable: Bool) -> Finding? {
        let bits = String(mode & 0o7777, radix: 8)
        if mode & 0o002 != 0, isReachable {
            return .problem("permissions", "everybody may write \(path) (mode \(bits))", "chmod o-w '\(path)'")
        }
        if !isWritableByUs {
            return .problem(
                "permissions", "this user may not read and write \(path) (mode \(bits))",
                "Run the broker as the user that owns it, or give it to that user: chown.")
        }
        // Once for all: the files beside it follow the database's mode, the lock file says only a process's number.
        if mode & 0o004 != 0, isReachable, !["-wal", "-shm", ".lock"].contains(where: path.hasSuffix) {
            return .warning(
                "permissions", "every user of this machine may read the messages in \(path) (mode \(bits))",
                "If they should not: chmod o-r '\(path)', or chmod o-x on its folder.")
        }
        return nil
    }

    private static func check(users path: String) -> [Finding] {
        guard let status = LogPlace.status(path) else {
            return [
                .problem(
                    "users", "\(path): \(String(cString: strerror(errno)))", "Name the file that there is, or make it.")
            ]
        }
        let finding = judge(users: path, mode: status.st_mode, owner: status.st_uid)
        guard finding.state == .ok else { return [finding] }
        do throws(ApusError) {
            _ = try FileAccessControl(path: path)
            return [finding]
        } catch {
            return [.problem("users", error.message, error.hint ?? "Mend the file: the broker does not start with it.")]
        }
    }

    /// As the broker judges it: a file of root's may be readable for the broker's group.
    static func judge(users path: String, mode: mode_t, owner: uid_t) -> Finding {
        let bits = String(mode & 0o7777, radix: 8)
        let others = mode & 0o077
        if others == 0o040, owner == 0 { return .ok("users", "only root and a group may read \(path) (mode \(bits))") }
        guard others != 0 else { return .ok("users", "only its owner may read \(path) (mode \(bits))") }
        return .problem(
            "users", "others than its owner may read or write \(path) (mode \(bits))", "chmod 600 '\(path)'")
    }
}
