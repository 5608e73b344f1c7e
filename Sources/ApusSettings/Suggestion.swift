/// What somebody meant who wrote a name that does not exist.
enum Suggestion {
    /// - Parameter isBeginningEnough: whether `listen` may mean `listeners`.
    /// - Returns: the nearest of `names`, the first of several; nil where none is near.
    static func nearest(
        to name: String, among names: some Sequence<String>, isBeginningEnough: Bool = true
    ) -> String? {
        let wanted = Array(name.lowercased().utf8.prefix(lengthMax))
        var best: (name: String, distance: Int)?
        for candidate in names {
            let distance = distance(wanted, Array(candidate.lowercased().utf8.prefix(lengthMax)))
            // One letter in four, at least one, at most four.
            guard distance <= min(4, max(1, candidate.utf8.count / 4)) else { continue }
            if distance < best?.distance ?? Int.max { best = (candidate, distance) }
        }
        if let best { return best.name }
        guard isBeginningEnough, name.count >= 3 else { return nil }
        return names.first { $0.hasPrefix(name) || $0.count >= 4 && name.hasPrefix($0) }
    }

    private static let lengthMax = 64

    /// Letters to change, add, leave out, or exchange with their neighbour.
    static func distance(_ a: [UInt8], _ b: [UInt8]) -> Int {
        var beforeLast: [Int] = []
        var last = Array(0...b.count)
        for i in a.indices {
            var row = [i + 1] + Array(repeating: 0, count: b.count)
            for j in b.indices {
                row[j + 1] = min(last[j + 1] + 1, row[j] + 1, last[j] + (a[i] == b[j] ? 0 : 1))
                if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] {
                    row[j + 1] = min(row[j + 1], beforeLast[j - 1] + 1)
                }
            }
            beforeLast = last
            last = row
        }
        return last[b.count]
    }
}
