internal import ApusModel
internal import Yams

/// What one source says about an option.
struct RawValue: Hashable {
    enum Content: Hashable {
        /// - Parameter isQuoted: text on purpose: `"true"` is no truth value.
        case scalar(String, isQuoted: Bool)
        case list([Item])
    }

    struct Item: Hashable {
        let text: String
        let origin: Origin
    }

    let content: Content
    let origin: Origin

    init(_ text: String, _ origin: Origin) {
        content = .scalar(text, isQuoted: false)
        self.origin = origin
    }

    init(_ content: Content, _ origin: Origin) {
        self.content = content
        self.origin = origin
    }
}

/// The configuration file, as keys and what stands behind them.
struct FileLayer {
    /// By the whole key: `log.level`, `listeners[0].tls.key`.
    private(set) var values: [String: RawValue] = [:]
    /// Where each listener begins; nil where the file has no list of them.
    private(set) var listeners: [Origin]?
    /// Every option that is there, even with a value that is none.
    private(set) var said: Set<String> = []
    /// Sections that are there, even if there is nothing in them.
    private(set) var sections: [String: Origin] = [:]

    private let path: String
    private var yaml: YAMLText?

    /// None, "not that of the plain text", and text.
    private static let tags: Set<String> = [
        Tag.Name.implicit.rawValue, Tag.Name.nonSpecific.rawValue, Tag.Name.str.rawValue,
    ]

    static let listenersMax = 64
    static let networksMax = 1_000

    /// Nothing.
    init() { path = "" }

    init(_ bytes: [UInt8], path: String, problems: inout ProblemList) {
        self.path = path
        let yaml = YAMLText(bytes, path: path, problems: &problems)
        self.yaml = yaml
        if let root = yaml.root, !isNothing(root) { read(root, &problems) }
    }

    private mutating func read(_ root: Node, _ problems: inout ProblemList) {
        guard case .mapping(let mapping) = root else {
            return problems.add(
                origin(root), "", "a configuration is a map, KEY: VALUE a line; this is \(FileLayer.describe(root))")
        }
        read(mapping, section: "", &problems)
    }

    private func origin(_ node: Node) -> Origin { .file(path, line: node.mark?.line ?? 1) }

    /// `key:` and nothing behind it, `~` or `null`.
    private func isNothing(_ node: Node) -> Bool {
        guard case .scalar(let scalar) = node, FileLayer.isPlain(scalar) else { return false }
        return ["", "~", "null", "Null", "NULL"].contains(scalar.string)
    }

    private static func isPlain(_ scalar: Node.Scalar) -> Bool { scalar.style == .plain || scalar.style == .any }

    private mutating func read(_ mapping: Node.Mapping, section: String, _ problems: inout ProblemList) {
        for (keyNode, value) in mapping {
            guard case .scalar(let scalar) = keyNode else {
                problems.add(origin(keyNode), section, "a key is a name, this is \(FileLayer.describe(keyNode))")
                continue
            }
            if let name = yaml?.duplicated(scalar.string) {
                reportDuplicate(name, of: keyNode, in: mapping, section, &problems)
                // What is wrong in it is told all the same.
                read(name, origin(keyNode), value, section: section, &problems)
                continue
            }
            read(scalar.string, origin(keyNode), value, section: section, &problems)
        }
    }

    private mutating func read(
        _ name: String, _ place: Origin, _ value: Node, section: String, _ problems: inout ProblemList
    ) {
        let key = section.isEmpty ? name : "\(section).\(name)"
        // How sections and listeners are written here is in no name.
        let isName = !name.contains { $0 == "." || $0 == "[" }
        if isName { said.insert(key) }
        if isName, key == "listeners" {
            readListeners(place, value, &problems)
        } else if isName, let option = SettingsOption.named(key) {
            readOption(option, key, place, value, &problems)
        } else if isName, SettingsOption.isSection(key) {
            if case .mapping(let inner) = value {
                sections[key] = place
                read(inner, section: key, &problems)
            } else if isNothing(value) {
                sections[key] = place
            } else {
                let names = SettingsOption.names(in: key).prefix(3).joined(separator: ", ")
                problems.add(
                    place, key, "is a section (\(names) …, a line each, indented), not \(FileLayer.describe(value))")
            }
        } else {
            problems.add(place, key.shown, FileLayer.unknown(name, section: section))
        }
    }

    private mutating func readListeners(_ place: Origin, _ value: Node, _ problems: inout ProblemList) {
        // A key without anything, or only comments below it: as if it were not there.
        if isNothing(value) { return }
        guard case .sequence(let items) = value else {
            return problems.add(
                place, "listeners",
                "is a list, each listener begins with \"- address:\"; this is \(FileLayer.describe(value))")
        }
        guard !items.isEmpty else {
            return problems.add(place, "listeners", "is empty: nobody could connect. Leave it out for the default")
        }
        guard items.count <= FileLayer.listenersMax else {
            return problems.add(
                place, "listeners", "has \(items.count) listeners, at most \(FileLayer.listenersMax) are possible")
        }
        listeners = items.map(origin)
        for (index, item) in items.enumerated() {
            guard case .mapping(let mapping) = item else {
                said.insert("listeners[\(index)].address")
                problems.add(
                    origin(item), "listeners[\(index)]",
                    "begins with \"address:\", as in \"- address: 127.0.0.1:2787\"; this is \(FileLayer.describe(item))"
                )
                continue
            }
            read(mapping, section: "listeners[\(index)]", &problems)
        }
    }

    private mutating func readOption(
        _ option: SettingsOption, _ key: String, _ place: Origin, _ value: Node, _ problems: inout ProblemList
    ) {
        switch (value, option.kind) {
        case (.scalar(let scalar), .networks):
            guard isNothing(value) else {
                return problems.add(place, key, "is a list of networks: [\(scalar.string.shown)]")
            }
            problems.add(place, key, "there is no value; leave the line out, or write []")
        case (.scalar(let scalar), _):
            guard !isNothing(value) else {
                return problems.add(place, key, "there is no value; leave the line out for the default")
            }
            guard FileLayer.tags.contains(scalar.tag.rawValue) else {
                return problems.add(place, key, "tags (\(scalar.tag.rawValue.shown)) are not understood here")
            }
            values[key] = RawValue(.scalar(scalar.string, isQuoted: !FileLayer.isPlain(scalar)), place)
        case (.sequence(let items), .networks):
            guard items.count <= FileLayer.networksMax else {
                return problems.add(
                    place, key, "has \(items.count) networks, at most \(FileLayer.networksMax) are possible")
            }
            values[key] = RawValue(.list(networks(items, key, &problems)), place)
        case (.sequence, .address):
            problems.add(place, key, "is a list; an IPv6 address stands in quotation marks: \"[::1]:2787\"")
        default:
            problems.add(place, key, "is \(option.kindText), not \(FileLayer.describe(value))")
        }
    }

    private func networks(_ items: Node.Sequence, _ key: String, _ problems: inout ProblemList) -> [RawValue.Item] {
        var texts: [RawValue.Item] = []
        for item in items {
            if case .scalar(let scalar) = item, !isNothing(item) {
                texts.append(RawValue.Item(text: scalar.string, origin: origin(item)))
            } else {
                problems.add(origin(item), key, "\(FileLayer.describe(item)) is no network")
            }
        }
        return texts
    }

    // MARK: Saying what is wrong

    /// - Parameter node: the first of them; its name is another one now.
    private func reportDuplicate(
        _ name: String, of node: Node, in mapping: Node.Mapping, _ section: String, _ problems: inout ProblemList
    ) {
        let first = node.mark?.line ?? 1
        // The next one in the map is the second; the others are reported when their turn comes.
        let second = mapping.first {
            ($0.key.mark?.line ?? 0, $0.key.mark?.column ?? 0) > (first, node.mark?.column ?? 0)
                && ($0.key.scalar?.string == name || yaml?.duplicated($0.key.scalar?.string ?? "") == name)
        }
        let key = section.isEmpty ? name : "\(section).\(name)"
        problems.add(
            .file(path, line: second?.key.mark?.line ?? first), key.shown,
            "stands here once more; it is already in line \(first)")
    }

    private static func unknown(_ name: String, section: String) -> String {
        if name == "<<" { return "merge keys are not read; write an alias (*name) behind each key" }
        if let option = elsewhere(name) {
            let place = option.key.dropLast(option.name.count + 1)
            return place.isEmpty
                ? "\(option.name) belongs to the whole configuration: write it without indentation"
                : "did you mean \(option.key)? \(option.name) stands below \(place)"
        }
        let names = SettingsOption.names(in: section)
        if let near = Suggestion.nearest(to: name, among: names) {
            return "there is no such option; did you mean \(near)?"
        }
        if let near = Suggestion.nearest(to: name, among: general.map(\.name), isBeginningEnough: false),
            let option = general.first(where: { $0.name == near })
        {
            return "there is no such option; did you mean \(option.key)?"
        }
        let place = section.isEmpty ? "" : " in \(section)"
        return "there is no such option\(place); there are \(names.prefix(20).joined(separator: ", "))"
            + (names.count > 20 ? " …" : "")
    }

    /// An option of another section, by its own name, or with its section's name before it: `log-level`, `log.level`.
    private static func elsewhere(_ name: String) -> SettingsOption? {
        general.first {
            $0.name == name || $0.key == name || $0.key.split(separator: ".").joined(separator: "-") == name
        }
    }

    /// Options for all before those of one listener.
    private static let general =
        SettingsOption.all.filter { !$0.key.contains("[]") } + SettingsOption.all.filter { $0.key.contains("[]") }

    private static func describe(_ node: Node) -> String {
        switch node {
        case .mapping: "a map"
        case .sequence: "a list"
        case .scalar(let scalar): scalar.string.isEmpty ? "nothing" : "\"\(scalar.string.shown)\""
        case .alias: "an alias"
        }
    }
}

extension SettingsOption {
    /// What it takes, in words.
    package var kindText: String {
        switch kind {
        case .text: "text"
        case .boolean: "true or false"
        case .address: "an address"
        case .choice(let names): names.joined(separator: " | ")
        case .networks: "a list of networks"
        case .number(let unit, _): "a number of \(unit)"
        }
    }
}
