internal import ApusModel

/// Names and what the file knows of them, bounded in number and in bytes: when the younger half is full it becomes the
/// older one, and what nobody asked for since is forgotten. No bookkeeping per look-up, which is on the way of every
/// submission.
struct NameCache<Name: Hashable, Entry> {
    private var young: [Name: Entry] = [:]
    private var old: [Name: Entry] = [:]
    private var youngBytes = 0
    private var oldBytes = 0
    private let halfMax: Int
    private let halfBytesMax: Int
    /// Bytes of memory that one entry costs.
    private let cost: (Name, Entry) -> Int

    /// - Parameter limits: `name-cache` and a share of `name-cache-bytes` bound it.
    init(_ limits: Limits, share: Int, cost: @escaping (Name, Entry) -> Int) {
        halfMax = max(8, limits.nameCacheEntries / 2)
        halfBytesMax = limits.nameCacheBytes / share / 2
        self.cost = cost
    }

    subscript(name: Name) -> Entry? {
        mutating get {
            if let entry = young[name] { return entry }
            guard let entry = old[name] else { return nil }
            insert(entry, for: name)
            return entry
        }
    }

    /// One that is longer than all the others together may be is not kept.
    mutating func insert(_ entry: Entry, for name: Name) {
        let bytes = cost(name, entry)
        guard bytes <= halfBytesMax else { return }
        if young.count >= halfMax || youngBytes + bytes > halfBytesMax {
            (old, oldBytes) = (young, youngBytes)
            (young, youngBytes) = ([:], 0)
        }
        if let before = young.updateValue(entry, forKey: name) { youngBytes -= cost(name, before) }
        youngBytes += bytes
    }

    mutating func removeAll() {
        (young, youngBytes) = ([:], 0)
        (old, oldBytes) = ([:], 0)
    }

    var count: Int { young.count + old.count }
    var bytes: Int { youngBytes + oldBytes }
}

extension NameCache where Name == Topic {
    init(topics limits: Limits) { self.init(limits, share: 1) { topic, _ in topic.cost + nameEntryBytes } }
}

extension NameCache where Entry == Topic {
    init(topics limits: Limits) { self.init(limits, share: 1) { _, topic in topic.cost + nameEntryBytes } }
}

extension NameCache where Name == Encoding {
    init(encodings limits: Limits) {
        self.init(limits, share: 4) { encoding, _ in encoding.cost + nameEntryBytes }
    }
}

extension NameCache where Entry == Encoding {
    init(encodings limits: Limits) {
        self.init(limits, share: 4) { _, encoding in encoding.cost + nameEntryBytes }
    }
}

/// What an entry costs besides its text: its slot in a table that is half empty, and the object that it points to.
private let nameEntryBytes = 128
