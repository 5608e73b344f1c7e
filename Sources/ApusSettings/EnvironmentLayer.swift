internal import ApusModel

/// What the environment says: `APUS_…`, or `APUS_…_FILE` for a file that holds the value.
struct EnvironmentLayer {
    /// By the option's key.
    private(set) var values: [String: RawValue] = [:]
    /// Of ``EnvironmentName/configuration``.
    private(set) var configuration: RawValue?
    /// A line for each variable that looks like an option and is none.
    private(set) var warnings: [String] = []

    static let valueBytesMax = 64 << 10

    /// - Parameter environment: an empty value is as good as none, as compose files write it.
    init(
        _ environment: [String: String], readFile: SettingsLoader.ReadFile, problems: inout ProblemList
    ) {
        let environment = environment.filter { $0.key.hasPrefix(EnvironmentName.prefix) && !$0.value.isEmpty }
        configuration = value(EnvironmentName.configuration, environment, readFile, &problems)
        for option in SettingsOption.all {
            guard let name = option.environment else { continue }
            values[option.key] = value(name, environment, readFile, &problems)
        }
        warnings = environment.keys.sorted().compactMap(EnvironmentLayer.warning)
    }

    private func value(
        _ name: String, _ environment: [String: String], _ readFile: SettingsLoader.ReadFile,
        _ problems: inout ProblemList
    ) -> RawValue? {
        let fileName = name + EnvironmentName.fileSuffix
        guard let path = environment[fileName] else {
            return environment[name].map { RawValue($0, .environment(name)) }
        }
        let origin = Origin.environment(fileName)
        guard environment[name] == nil else {
            problems.add(origin, name, "\(name) is set, too; one of them is enough")
            return nil
        }
        do throws(ApusError) {
            let bytes = try readFile(path, EnvironmentLayer.valueBytesMax)
            guard var text = String(validating: bytes, as: UTF8.self) else {
                throw ApusError(.usage, "\(path) is not UTF-8")
            }
            if text.utf8.last == 0x0A { text = String(text.dropLast()) }
            guard !text.contains(where: \.isNewline) else {
                throw ApusError(
                    .usage, "\(path) has more than one line, and holds no value",
                    hint: "\(name) takes the value itself.")
            }
            return text.isEmpty ? nil : RawValue(text, origin)
        } catch {
            problems.add(origin, name, error)
            return nil
        }
    }

    /// Others use the prefix, too: Kubernetes sets `APUS_SERVICE_HOST`, `APUS_PORT_2787_TCP` and more for a service named
    /// apus, `APUS_HEADLESS_SERVICE_HOST` for apus-headless.
    private static func warning(_ variable: String) -> String? {
        let suffix = EnvironmentName.fileSuffix
        let options = SettingsOption.all.compactMap(\.environment) + [EnvironmentName.configuration]
        if options.contains(variable) || EnvironmentName.others.contains(variable) { return nil }
        let isFile = variable.hasSuffix(suffix)
        let name = isFile ? String(variable.dropLast(suffix.count)) : variable
        if isFile, options.contains(name) || EnvironmentName.others.contains(name) { return nil }
        let stem = name.dropFirst(EnvironmentName.prefix.count)
        let stems = options.map { String($0.dropFirst(EnvironmentName.prefix.count)) }
        if let near = Suggestion.nearest(to: String(stem), among: stems, isBeginningEnough: false) {
            let meant = EnvironmentName.prefix + near + (isFile ? suffix : "")
            return "environment variable \(variable.shown) is no option and is not read; did you mean \(meant)?"
        }
        if "_\(stem)_".contains("_SERVICE_") || "_\(stem)_".contains("_PORT_") { return nil }
        return "environment variable \(variable.shown) is no option and is not read"
    }
}
