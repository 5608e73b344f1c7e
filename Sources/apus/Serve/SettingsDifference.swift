internal import ApusModel
internal import ApusSettings

/// An option that is another one in new settings.
struct SettingsDifference: Hashable {
    let key: String
    let old: String
    let new: String

    /// Those that a running broker cannot take over. A listener is the same one while its address is, wherever in the
    /// list it stands.
    static func needingRestart(_ old: Settings, _ new: Settings) -> [SettingsDifference] {
        let (before, after) = (entries(old), entries(new))
        let was = Dictionary(uniqueKeysWithValues: before.map { ($0.key, $0.entry) })
        let becomes = Dictionary(uniqueKeysWithValues: after.map { ($0.key, $0.entry) })
        return (before + after.filter { was[$0.key] == nil }).compactMap { option in
            let (was, becomes) = (was[option.key], becomes[option.key])
            guard option.entry.change != .reloaded, was?.value != becomes?.value else { return nil }
            // What is only handed down: the option that says it is named.
            if was?.inheritedFrom != nil, becomes?.inheritedFrom != nil { return nil }
            if let listener = option.listener, !before.contains(listener) || !after.contains(listener) {
                // It comes or goes: that is one line, not one for each of its options.
                guard option.key == listener + addressSuffix else { return nil }
                return SettingsDifference(
                    key: listener, old: was == nil ? SettingsOption.none : "listening",
                    new: becomes == nil ? SettingsOption.none : "listening")
            }
            return SettingsDifference(
                key: option.key, old: was?.text ?? SettingsOption.none, new: becomes?.text ?? SettingsOption.none)
        }
    }

    private static let addressSuffix = ".address"

    fileprivate struct Option {
        /// With a listener's address in place of its number.
        let key: String
        /// What all keys of its listener begin with.
        var listener: String?
        let entry: SettingEntry
    }

    private static func entries(_ settings: Settings) -> [Option] {
        var uses: [String: Int] = [:]
        let listeners = settings.listeners.enumerated().map { index, listener in
            let address = listener.address.value.description
            uses[address, default: 0] += 1
            // Several may be on port 0.
            let number = uses[address].map { $0 > 1 ? " #\($0)" : "" } ?? ""
            return (prefix: "listeners[\(index)]", name: "listeners[\(address)\(number)]")
        }
        return settings.entries.map { entry in
            guard let listener = listeners.first(where: { entry.key.hasPrefix("\($0.prefix).") }) else {
                return Option(key: entry.key, entry: entry)
            }
            let key = listener.name + entry.key.dropFirst(listener.prefix.count)
            return Option(key: key, listener: listener.name, entry: entry)
        }
    }
}

extension [SettingsDifference.Option] {
    fileprivate func contains(_ listener: String) -> Bool { contains { $0.listener == listener } }
}
