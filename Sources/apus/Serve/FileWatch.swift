internal import Glibc

/// Whether files are still what they were, by what their names lead to now.
struct FileWatch {
    /// Of the file at the end of all symbolic links; nil where there is none.
    private struct Mark: Hashable {
        let device: UInt64
        let inode: UInt64
        let size: Int64
        let modified: [Int]

        init?(_ path: String) {
            var status = stat()
            guard stat(path, &status) == 0 else { return nil }
            device = UInt64(status.st_dev)
            inode = UInt64(status.st_ino)
            size = Int64(status.st_size)
            // The change of the inode, too: who keeps a file's time when copying over it changes this one.
            modified = [
                status.st_mtim.tv_sec, status.st_mtim.tv_nsec, status.st_ctim.tv_sec, status.st_ctim.tv_nsec,
            ]
        }
    }

    private struct State {
        /// When the file was last read.
        var known: Mark?
        /// At the last look.
        var seen: Mark?
    }

    private var states: [(path: String, state: State)] = []

    init(_ paths: [String]) {
        states = paths.map { path in
            let mark = Mark(path)
            return (path, State(known: mark, seen: mark))
        }
    }

    /// They are read now, as they are.
    mutating func settle() {
        for index in states.indices {
            let mark = Mark(states[index].path)
            states[index].state = State(known: mark, seen: mark)
        }
    }

    /// - Returns: those that have changed, and have not changed any more since the last look: a file that is being
    ///   written is left alone until it is whole.
    mutating func look() -> [String] {
        var changed: [String] = []
        for index in states.indices {
            let mark = Mark(states[index].path)
            let isStill = mark == states[index].state.seen
            states[index].state.seen = mark
            if isStill, mark != states[index].state.known { changed.append(states[index].path) }
        }
        return changed
    }
}
