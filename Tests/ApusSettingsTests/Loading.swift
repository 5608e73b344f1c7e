import ApusModel
import ApusSettings
import Foundation

/// Loads settings from a text as the file `apus.yaml`, with nothing of this process's environment.
func load(
    _ text: String? = nil, environment: [String: String] = [:], files: [String: [UInt8]] = [:],
    _ setFlags: (inout Flags) -> Void = { _ in }
) throws(SettingsFailure) -> SettingsLoader.Loaded {
    try load(bytes: text.map { Array($0.utf8) }, environment: environment, files: files, setFlags)
}

func load(
    bytes: [UInt8]?, environment: [String: String] = [:], files: [String: [UInt8]] = [:],
    _ setFlags: (inout Flags) -> Void = { _ in }
) throws(SettingsFailure) -> SettingsLoader.Loaded {
    var flags = Flags()
    if bytes != nil { flags.configuration = "apus.yaml" }
    setFlags(&flags)
    var all = files
    all["apus.yaml"] = bytes
    let known = all
    let loader = SettingsLoader(flags: flags, environment: environment) { (path, bytesMax) throws(ApusError) in
        guard let bytes = known[path] else { throw ApusError(.input, "cannot read \(path): No such file or directory") }
        guard bytes.count <= bytesMax else {
            throw ApusError(.input, "cannot read \(path): it has more than \(bytesMax) bytes")
        }
        return bytes
    }
    return try loader.load()
}

/// What is wrong with a file, a line each; empty where nothing is.
func problems(
    _ text: String, environment: [String: String] = [:], _ setFlags: (inout Flags) -> Void = { _ in }
) -> [String] {
    do throws(SettingsFailure) {
        _ = try load(text, environment: environment, setFlags)
        return []
    } catch {
        return error.lines
    }
}

/// A file of the project.
func project(_ path: String) throws -> String {
    let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../\(path)")
    return try String(contentsOf: file, encoding: .utf8)
}

extension Settings {
    func entry(_ key: String) -> SettingEntry? { entries.first { $0.key == key } }
}
