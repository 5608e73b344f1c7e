/// Names and what the file knows of them, bounded: when the younger half is full it becomes the older one, and what
/// nobody asked for since is forgotten. No bookkeeping per look-up, which is on the way of every submission.
struct NameCache<Name: Hashable, Entry> {
    private var young: [Name: Entry] = [:]
    private var old: [Name: Entry] = [:]
    private let halfMax: Int

    init(entriesMax: Int) { halfMax = max(8, entriesMax / 2) }

    subscript(name: Name) -> Entry? {
        mutating get {
            if let entry = young[name] { return entry }
            guard let entry = old[name] else { return nil }
            insert(entry, for: name)
            return entry
        }
    }

    mutating func insert(_ entry: Entry, for name: Name) {
        if young.count >= halfMax {
            old = young
            young = [:]
        }
        young[name] = entry
    }

    mutating func removeAll() {
        young = [:]
        old = [:]
    }

    var count: Int { young.count + old.count }
}
